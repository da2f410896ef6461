//! What OpenTelemetry's variables say of us: whether anything is traced, and who we are.
//!
//! Where traces go and how many are kept, the exporter reads itself.

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

/// Whether the variables ask for traces.
pub(super) fn asks_for_traces() -> bool {
    is_wanted(variable)
}

/// An address to send them to, and nothing that says no.
fn is_wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    let is_disabled = variable("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let exporter = variable("OTEL_TRACES_EXPORTER");
    let has_address = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]
        .into_iter()
        .any(|name| variable(name).is_some());
    !is_disabled && exporter.as_deref().map_or(has_address, |exporter| exporter == "otlp")
}

/// Who we are, unless the variables say otherwise.
pub(super) fn resource() -> Resource {
    let is_named = variable("OTEL_SERVICE_NAME").is_some()
        || variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|text| text.contains("service.name="));
    let builder = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if is_named { builder.build() } else { builder.with_service_name("throughline").build() }
}

/// An empty variable counts as none, as OpenTelemetry's specification says.
#[expect(clippy::disallowed_methods, reason = "these variables are OpenTelemetry's, and no configuration has them")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_switches_it_on_and_a_word_off() {
        for (variables, wanted) in [
            (&[][..], false),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")], true),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/v1/traces")], true),
            (&[("OTEL_TRACES_EXPORTER", "otlp")], true),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"), ("OTEL_TRACES_EXPORTER", "none")], false),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"), ("OTEL_SDK_DISABLED", "TRUE")], false),
            (&[("OTEL_TRACES_SAMPLER", "always_on")], false),
        ] {
            let variable =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(is_wanted(variable), wanted, "{variables:?}");
        }
    }
}
