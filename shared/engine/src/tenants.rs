//! Whose logs a question is about: one tenant's, or several tenants' with a label that tells them apart.
//!
//! In: the tenants that may be read, and the selectors of the question. Out: the tenants to read, and the labels of their
//! streams as the question sees them. With more than one tenant each stream has `__tenant_id__`, as in Loki; a label that a
//! client gave that name becomes `original___tenant_id__`. The labels change where a segment is opened, so that nothing behind
//! it can forget to. Never reads a tenant that it was not given.

use std::sync::Arc;

use logql::ast::{Expr, Matcher};
use logql::matcher::CompiledMatcher;
use model::{Labels, TenantId};
use segment::Footer;
use store::SegmentRef;

use crate::Error;

/// The label that tells a stream's tenant.
pub(crate) const TENANT_LABEL: &str = "__tenant_id__";
/// What a client's own label of that name is called.
const ORIGINAL_TENANT_LABEL: &str = "original___tenant_id__";

/// The tenants of one question.
#[derive(Debug, Clone)]
pub(crate) struct Tenants {
    chosen: Arc<[TenantId]>,
    /// Whether the question named more than one, even if its selector then chose one.
    labelled: bool,
}

impl Tenants {
    /// The tenants that a query can find anything of.
    pub(crate) fn of_query(tenants: &[TenantId], expr: &Expr) -> Result<Self, Error> {
        let selectors: Vec<&[Matcher]> = match expr {
            Expr::Log(log) => vec![&log.selector],
            Expr::Metric(metric) => {
                logql::eval::leaves(metric).into_iter().map(|leaf| leaf.aggregation.log.selector.as_slice()).collect()
            }
        };
        Self::new(tenants, &selectors)
    }

    /// The tenants that one of these selectors can find anything of; all if there is no selector.
    pub(crate) fn of_selectors(tenants: &[TenantId], selectors: &[String]) -> Result<Self, Error> {
        let selectors: Vec<Vec<Matcher>> =
            selectors.iter().map(|text| logql::parse_selector(text)).collect::<Result<_, _>>()?;
        match selectors.is_empty() {
            true => Self::new(tenants, &[&[]]),
            false => Self::new(tenants, &selectors.iter().map(Vec::as_slice).collect::<Vec<_>>()),
        }
    }

    fn new(tenants: &[TenantId], selectors: &[&[Matcher]]) -> Result<Self, Error> {
        let mut chosen = tenants.to_vec();
        chosen.sort();
        chosen.dedup();
        let labelled = chosen.len() > 1;
        if labelled {
            let by_selector: Vec<Vec<CompiledMatcher>> = (selectors.iter())
                .map(|selector| selector.iter().filter(|m| m.name == TENANT_LABEL).map(CompiledMatcher::new).collect())
                .collect::<Result<_, _>>()?;
            chosen.retain(|id| by_selector.iter().any(|all| all.iter().all(|matcher| matcher.matches(id.as_str()))));
        }
        Ok(Tenants { chosen: chosen.into(), labelled })
    }

    /// Those whose segments are to be read.
    pub(crate) fn chosen(&self) -> &[TenantId] {
        &self.chosen
    }

    /// The name under which an opened segment is kept: with other labels it is another one.
    pub(crate) fn name_of(&self, segment: &SegmentRef) -> String {
        if self.labelled { format!("{}?{TENANT_LABEL}", segment.key) } else { segment.key.to_string() }
    }

    /// Gives the streams of a segment their tenant, if the question is about several.
    pub(crate) fn label(&self, segment: &SegmentRef, footer: &mut Footer) {
        if let (true, Some(tenant)) = (self.labelled, segment.key.tenant()) {
            footer.map_labels(|labels| labelled(labels, tenant));
        }
    }
}

impl Tenants {
    /// A stream's labels as its tenant sees them.
    pub(crate) fn own(&self, labels: &Labels) -> Labels {
        if !self.labelled {
            return labels.clone();
        }
        let mut builder = labels.to_builder();
        builder.remove(TENANT_LABEL);
        if let Some(original) = labels.get(ORIGINAL_TENANT_LABEL) {
            builder.set(TENANT_LABEL, original).remove(ORIGINAL_TENANT_LABEL);
        }
        builder.build()
    }
}

fn labelled(labels: &Labels, tenant: &str) -> Labels {
    let mut builder = labels.to_builder();
    if let Some(original) = labels.get(TENANT_LABEL) {
        builder.set(ORIGINAL_TENANT_LABEL, original);
    }
    builder.set(TENANT_LABEL, tenant);
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(query: &str) -> Vec<String> {
        let tenants = ["b", "a", "b"].map(|id| TenantId::new(id).expect("an id"));
        let tenants = Tenants::of_query(&tenants, &logql::parse(query).expect("LogQL")).expect("compiles");
        assert!(tenants.labelled);
        tenants.chosen().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_selector_chooses_tenants() {
        let check = |query, want: &[&str]| assert_eq!(chosen(query), want, "{query}");
        check(r#"{app="x"}"#, &["a", "b"]);
        check(r#"{app="x", __tenant_id__="a"}"#, &["a"]);
        check(r#"{app="x", __tenant_id__!="a"}"#, &["b"]);
        check(r#"{__tenant_id__=~"a|c"}"#, &["a"]);
        check(r#"{__tenant_id__="c"}"#, &[]);
        check(r#"rate({__tenant_id__="a"}[1m]) / rate({__tenant_id__="b"}[1m])"#, &["a", "b"]);
    }

    #[test]
    fn a_client_cannot_pose_as_another_tenant() {
        let labels = Labels::from_pairs([("app", "x"), (TENANT_LABEL, "b")]);
        let want = Labels::from_pairs([(TENANT_LABEL, "a"), ("app", "x"), (ORIGINAL_TENANT_LABEL, "b")]);
        assert_eq!(labelled(&labels, "a"), want);
        let tenants = Tenants { chosen: Arc::from([]), labelled: true };
        assert_eq!(tenants.own(&want), labels);
    }
}
