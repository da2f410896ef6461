// What comes live: each event becomes a line. Texts are set as text, never as HTML.
"use strict";

const list = document.getElementById("live");
const state = document.getElementById("state");
const nothing = document.getElementById("nothing");
const MOST = 200;

function element(name, text, className) {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function line(event) {
  const item = document.createElement("li");
  const when = element("time", event.at.slice(11, 19), "when");
  when.dateTime = event.at;
  when.title = event.at;
  const what = document.createElement("div");
  if (event.request) what.append(element("span", event.request, "mono"), " ", element("small", event.site));
  if (event.preview) {
    const whose = element("a", event.preview, "mono");
    whose.href = "/console/live?preview=" + encodeURIComponent(event.preview);
    what.append(" ", whose);
  }
  const decisions = document.createElement("ul");
  event.decisions.forEach((text) => decisions.append(element("li", text)));
  what.append(decisions);
  item.append(when, what);
  return item;
}

if (list) {
  const stream = new EventSource(list.dataset.stream);
  stream.onopen = () => { state.textContent = "connected"; state.className = "badge good"; };
  stream.onerror = () => { state.textContent = "not connected"; state.className = "badge bad"; };
  stream.onmessage = (message) => {
    nothing.hidden = true;
    list.prepend(line(JSON.parse(message.data)));
    while (list.children.length > MOST) list.lastElementChild.remove();
  };
}
