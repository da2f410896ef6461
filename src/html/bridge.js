(function () {
  var w = window, d = document, known = false;
  function send(yes) {
    var word = yes ? 'granted' : 'denied';
    known = true;
    if (('; ' + d.cookie + ';').indexOf('; _tl_consent=' + word + ';') >= 0) return;
    try { if (navigator.sendBeacon(ENDPOINT, word)) return; } catch (e) {}
    var x = new XMLHttpRequest();
    x.open('POST', ENDPOINT, true);
    x.send(word);
  }
  function tell(v) { if (v === true || v === false) send(v); }
  function safe(f) { return function (a, b) { try { f(a, b); } catch (e) {} }; }
  function on(target, name, f) { target.addEventListener(name, safe(f)); }
  function detail(name, f) { on(d, name, function (e) { if (e.detail) f(e.detail); }); }

  var tcf = safe(function (data, ok) {
    var s = data && data.eventStatus, c;
    if (!ok || data.gdprApplies === false || (s !== 'tcloaded' && s !== 'useractioncomplete')) return;
    c = (data.purpose || {}).consents || {};
    send(!!(c[1] && c[7]));
  });
  var cookiebot = safe(function () {
    var c = w.Cookiebot;
    if (c.hasResponse && c.consent.method !== 'implied') tell(c.consent.marketing);
  });
  var onetrust = safe(function () { send(/,C0004,/.test(w.OnetrustActiveGroups)); });
  var didomi = safe(function () {
    var api = w.Didomi, p = api.getCurrentUserStatus().purposes, m = p.measure_ad_performance, c = p.cookies;
    if (m && api.isConsentRequired() && !api.shouldUserStatusBeCollected()) send(!!(m.enabled && (!c || c.enabled)));
  });
  var usercentrics = safe(function () {
    if (w.__ucCmp) return w.__ucCmp.getConsentDetails().then(safe(function (r) {
      var m = r.categories && r.categories.marketing;
      if (m && r.consent.type === 'EXPLICIT') send(m.state === 'ALL_ACCEPTED');
    }));
    var all = w.UC_UI.getServicesBaseInfo(), any = false, yes = true, chosen = true, i, h;
    for (i = 0; i < all.length; i++) if (all[i].categorySlug === 'marketing') {
      h = all[i].consent.history;
      any = true;
      yes = yes && all[i].consent.status;
      chosen = chosen && h.length > 0 && h[h.length - 1].type === 'explicit';
    }
    if (any && chosen) tell(yes);
  });

  var hooks = [
    function () { if (w.__tcfapi) { w.__tcfapi('addEventListener', 2, tcf); return 1; } },
    function () {
      var o = w.OneTrust;
      if (!o || !o.OnConsentChanged) return;
      o.OnConsentChanged(onetrust);
      if (o.IsAlertBoxClosed()) onetrust();
      return 1;
    },
    function () { if (w.Cookiebot) { cookiebot(); return 1; } },
    function () { if (w.UC_UI && w.UC_UI.isInitialized()) { usercentrics(); return 1; } },
    function () {
      var t = w.Termly;
      if (t && t.on) { t.on('consent', safe(function () { tell(t.getConsentState().advertising); })); return 1; }
    },
    function () {
      var o = w.Osano && w.Osano.cm;
      if (o) { o.addEventListener('osano-cm-consent-saved', safe(function () { send(o.getConsent().MARKETING === 'ACCEPT'); })); return 1; }
    }
  ];
  on(w, 'CookiebotOnAccept', cookiebot);
  on(w, 'CookiebotOnDecline', cookiebot);
  on(w, 'UC_UI_INITIALIZED', usercentrics);
  on(w, 'UC_UI_CMP_EVENT', function (e) {
    if (/^(ACCEPT_ALL|DENY_ALL|SAVE)$/.test(e.detail.type)) setTimeout(usercentrics, 300);
  });
  (w.didomiOnReady = w.didomiOnReady || []).push(function (api) { didomi(); api.on('consent.changed', didomi); });
  detail('visitorConsentCollected', function (v) { tell(v.marketingAllowed); });
  detail('wp_listen_for_consent_change', function (v) { if (v.marketing) send(v.marketing === 'allow'); });

  function layer(l) {
    var push = l.push, i, look = safe(function (a) {
      if (a[0] === 'consent' && a[1] === 'update' && a[2].ad_storage) send(a[2].ad_storage === 'granted');
    });
    for (i = 0; i < l.length; i++) look(l[i]);
    l.push = function () {
      for (var j = 0; j < arguments.length; j++) look(arguments[j]);
      return push.apply(l, arguments);
    };
  }
  var tries = 0;
  (function wait() {
    for (var i = hooks.length; i--;) try { if (hooks[i]()) { known = true; hooks.splice(i, 1); } } catch (e) {}
    if (++tries < 40) setTimeout(wait, 250);
    else if (!known && w.dataLayer) layer(w.dataLayer);
  })();
})();
