//! 13 to 15: what Drilldown's landing page and Explore's pickers are filled from.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::ask::{Grafana, HOUR_NS, Range, SECOND_NS, T0_NS, between, parameters};

fn at(i: i64) -> i64 {
    T0_NS + i * SECOND_NS
}

/// Grouped by the names in the selector, the largest first, and what was pushed a moment ago is in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_13_volume_by_the_selectors_names() {
    let grafana = Grafana::start().await;
    let lines = |count: i64, line: &str| (0..count).map(|i| json!([at(i), line])).collect::<Vec<_>>();
    grafana
        .push(json!([
            [{"service_name": "small", "cluster": "eu", "pod": "a"}, lines(2, "ten bytes.")],
            [{"service_name": "large", "cluster": "eu", "pod": "a"}, lines(30, "ten bytes.")],
            [{"service_name": "large", "cluster": "eu", "pod": "b"}, lines(20, "ten bytes!")],
            [{"service_name": "elsewhere", "cluster": "us"}, lines(90, "ten bytes.")]
        ]))
        .await;
    let asked = parameters(&[
        ("query", r#"{service_name=~".+",cluster="eu"}"#),
        ("limit", "5000"),
        ("start", "2026-11-20T00:00:00.000Z"),
        ("end", "2026-11-20T01:00:00.000Z"),
    ]);
    let volume = grafana.resource("/loki/api/v1/index/volume", &asked).await;
    assert_eq!((&volume["status"], &volume["data"]["resultType"]), (&json!("success"), &json!("vector")));
    let result = volume["data"]["result"].as_array().expect("a list");
    let told: Vec<(&Value, &str)> =
        result.iter().map(|s| (&s["metric"], s["value"][1].as_str().expect("bytes are text"))).collect();
    let metric = |service: &str| json!({"cluster": "eu", "service_name": service});
    assert_eq!(told, [(&metric("large"), "500"), (&metric("small"), "20")]);
    assert!(result.iter().all(|s| s["value"][0].is_number()));
}

/// The Fields tab makes its queries from what is told here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_14_detected_fields_of_a_mixed_service() {
    let grafana = Grafana::start().await;
    let mut entries = Vec::new();
    for i in 0..10 {
        let user = json!({"trace": format!("t{i}")});
        entries.push(json!([
            at(2 * i),
            format!(r#"{{"took":"{i}ms","both":"j{i}","deep":{{"er":{i}}},"ok":true}}"#),
            user
        ]));
        entries.push(json!([at(2 * i + 1), format!("took={i}ms both=l{i} size={i}KB share=0.{i}"), user]));
    }
    grafana.push(json!([[{"service_name": "mixed", "cluster": "eu"}, entries]])).await;
    // With the empty variables of Drilldown's template in between.
    let query = r#"{service_name="mixed"}      | json  | logfmt | drop __error__, __error_details__   "#;
    let asked = between(T0_NS, T0_NS + HOUR_NS, &[("query", query), ("limit", "1000")]);
    let answer = grafana.resource("/loki/api/v1/detected_fields", &asked).await;
    assert_eq!(answer["limit"], 1000);
    let fields: BTreeMap<&str, &Value> =
        answer["fields"].as_array().expect("fields").iter().map(|f| (f["label"].as_str().expect("text"), f)).collect();
    let field = |name: &str| fields.get(name).unwrap_or_else(|| panic!("no {name} in {fields:?}"));
    for (name, kind, parsers) in [
        ("took", "duration", json!(["json", "logfmt"])),
        ("both", "string", json!(["json", "logfmt"])),
        ("deep_er", "int", json!(["json"])),
        ("ok", "boolean", json!(["json"])),
        ("size", "bytes", json!(["logfmt"])),
        ("share", "float", json!(["logfmt"])),
        ("trace", "string", Value::Null),
        ("detected_level", "string", Value::Null),
    ] {
        assert_eq!((&field(name)["type"], &field(name)["parsers"]), (&json!(kind), &parsers), "{name}");
        assert!(field(name).as_object().expect("an object").contains_key("parsers"), "{name}: null, not absent");
    }
    assert_eq!(field("deep_er")["jsonPath"], json!(["deep", "er"]));
    assert!(field("size").get("jsonPath").is_none());
    for (name, distinct) in [("both", 20), ("trace", 10), ("ok", 1)] {
        assert_eq!(field(name)["cardinality"], distinct, "{name}");
    }
    for name in ["service_name", "cluster"] {
        assert!(!fields.contains_key(name), "{name} is an index label");
    }

    for (name, want) in [("trace", 10), ("detected_level", 1), ("deep_er", 10)] {
        let path = format!("/loki/api/v1/detected_field/{name}/values");
        let answer = grafana.resource(&path, &asked).await;
        assert_eq!(answer["values"].as_array().expect("values").len(), want, "{name}: {answer}");
    }
}

/// The tabs of Drilldown ask with an empty selector, which means every stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_14_detected_labels_of_everything() {
    let grafana = Grafana::start().await;
    grafana
        .push(json!([
            [{"service_name": "a", "cluster": "eu", "number": "17"}, [[at(0), "x"]]],
            [{"service_name": "b", "cluster": "eu", "number": "18"}, [[at(0), "x"]]],
            [{"service_name": "c", "cluster": "eu", "number": "19"}, [[at(0), "x"]]]
        ]))
        .await;
    let cardinalities = |answer: &Value| -> BTreeMap<String, u64> {
        let labels = answer["detectedLabels"].as_array().expect("labels").iter();
        labels
            .map(|l| (l["label"].as_str().expect("text").to_owned(), l["cardinality"].as_u64().expect("a number")))
            .collect()
    };
    for (query, services) in [("", 3), (r#"{service_name=~"a|b"}"#, 2)] {
        let asked = between(T0_NS, T0_NS + HOUR_NS, &[("query", query)]);
        let told = cardinalities(&grafana.resource("/loki/api/v1/detected_labels", &asked).await);
        let want = [("cluster".to_owned(), 1), ("service_name".to_owned(), services)];
        assert_eq!(told, BTreeMap::from(want), "{query}: numbers alone are no label to group by");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_15_labels_narrow_to_the_streams_asked_for() {
    let grafana = Grafana::start().await;
    let day = 24 * HOUR_NS;
    grafana
        .push(json!([
            [{"app": "a", "pod": "a1"}, [[at(0), "x"]]],
            [{"app": "b", "host": "b1"}, [[at(0), "x"]]],
            [{"app": "old", "rack": "r1"}, [[at(0) - 3 * day, "x"]]]
        ]))
        .await;
    let names = async |pairs: &[(&str, &str)]| {
        grafana.resource("/loki/api/v1/labels", &between(T0_NS, T0_NS + HOUR_NS, pairs)).await
    };
    let data = |list: Value| json!({"status": "success", "data": list});
    assert_eq!(names(&[]).await, data(json!(["app", "host", "pod", "service_name"])));
    assert_eq!(names(&[("query", r#"{app="a"}"#)]).await, data(json!(["app", "pod", "service_name"])));
    let values = async |name: &str, pairs: &[(&str, &str)]| {
        let path = format!("/loki/api/v1/label/{name}/values");
        grafana.resource(&path, &between(T0_NS, T0_NS + HOUR_NS, pairs)).await
    };
    assert_eq!(values("app", &[]).await, data(json!(["a", "b"])));
    assert_eq!(values("app", &[("query", r#"{pod="a1"}"#)]).await, data(json!(["a"])));
    // What excludes alone chooses every stream: refused, in words, as Loki does.
    assert_eq!(values("app", &[("query", r#"{app!="b", pod=~".+"}"#)]).await, data(json!(["a"])));
    let excludes = between(T0_NS, T0_NS + HOUR_NS, &[("query", r#"{app!="b"}"#)]);
    let refused = grafana.ask(&[], "/loki/api/v1/label/app/values", &excludes).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.starts_with("parse error : queries require at least one"), "{}", refused.text);
    for unknown in ["nowhere", "__stream_shard__"] {
        let answer = values(unknown, &[]).await;
        assert_eq!(answer["status"], "success");
        assert!(answer.get("data").is_none_or(|list| list == &json!([])), "{answer}");
    }
    let series = between(T0_NS, T0_NS + HOUR_NS, &[("match[]", r#"{app=~".+"}"#)]);
    let series = grafana.resource("/loki/api/v1/series", &series).await;
    assert_eq!(series["data"].as_array().expect("series").len(), 2);
    let stats = between(T0_NS, T0_NS + HOUR_NS, &[("query", r#"{app="a"}"#)]);
    let stats = grafana.resource("/loki/api/v1/index/stats", &stats).await;
    assert_eq!((&stats["streams"], &stats["entries"], &stats["bytes"]), (&json!(1), &json!(1), &json!(1)));
    assert_eq!(grafana.range(r#"{rack="r1"}"#, Range::new(T0_NS, T0_NS + HOUR_NS)).await.lines().len(), 0);
}
