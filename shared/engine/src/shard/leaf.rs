//! A leaf: answers one slice of a question from the segments that it is sent, and keeps nothing.
//!
//! In: a shard's bytes. Out: an answer's bytes, in which also stands why there is none. Never asks another leaf, never lists, never
//! reads a segment of a tenant that the question does not name. Who may send shards is decided before.

use logql::ast::Expr;
use logql::eval::{self, RangeFold};
use model::{LogEntry, WireWriter};

use super::wire::{self, Outcome, Part, Shard};
use crate::logs::LogQuery;
use crate::scan::Scan;
use crate::tenants::Tenants;
use crate::{Engine, Error, metrics, within};

/// Most evaluations of a metric query that a shard may ask for.
const STEPS_MAX: usize = 1 << 20;

/// What a slice came to.
enum Found {
    Entries(Vec<LogEntry>),
    Fold(Box<RangeFold>),
}

impl Engine {
    /// Answers a shard of a question that another process was asked. Dropping the future ends its work.
    pub async fn answer_shard(&self, shard: &[u8]) -> Result<Vec<u8>, Error> {
        let broken = |why: model::WireError| Error::Invalid(why.to_string());
        let shard = Shard::read(shard).map_err(broken)?;
        let expr = logql::parse(&shard.query)?;
        let tenants = Tenants::of_query(&shard.tenants, &expr)?;
        for segment in &shard.segments {
            if !tenants.chosen().iter().any(|tenant| segment.key.tenant() == Some(tenant.as_str())) {
                return Err(Error::Invalid("a segment of another tenant".to_owned()));
            }
        }
        let question = self.question(tenants.clone()).asked_at(shard.asked_ns);
        let (scan, _cancel) = Scan::new(self.reader_of(tenants, question));
        let (answer_bytes_max, timeout) = (shard.answer_bytes_max, shard.timeout);
        let found = within(timeout, answer(&expr, shard, &scan)).await;
        let stats = scan.reader().stats();
        let undone = |why: String| wire::write_answer(&stats, Outcome::Undone(why)).map_err(broken);
        let answer = match found {
            Ok(found) => wire::write_answer(&stats, Outcome::Done(&|out| found.write(out))).map_err(broken)?,
            Err(Error::Invalid(why)) => wire::write_answer(&stats, Outcome::Refused(why)).map_err(broken)?,
            Err(why) => undone(why.to_string())?,
        };
        match answer.len() {
            bytes if bytes > answer_bytes_max => {
                undone(format!("an answer of {bytes} bytes, and {answer_bytes_max} fit"))
            }
            _ => Ok(answer),
        }
    }
}

impl Found {
    fn write(&self, out: &mut WireWriter) {
        match self {
            Found::Entries(entries) => wire::write_entries(entries, out),
            Found::Fold(fold) => fold.write(out),
        }
    }
}

async fn answer(expr: &Expr, shard: Shard, scan: &Scan) -> Result<Found, Error> {
    // The root knows of segments and of the moment, but what is forgotten each process asks for itself.
    scan.reader().learn_forgets().await?;
    match (expr, shard.part) {
        (Expr::Log(log), Part::Entries { direction, limit }) => {
            let query = LogQuery::new(log, direction, limit)?;
            let found = query.find_in(scan, shard.range, shard.segments).await?;
            Ok(Found::Entries(found.into_entries()))
        }
        (Expr::Metric(metric), Part::Fold { leaf, steps }) if steps.count() <= STEPS_MAX => {
            let leaves = eval::leaves(metric);
            let leaf = leaves.get(leaf).ok_or_else(|| Error::Invalid("a shard of another question".to_owned()))?;
            let fold = metrics::fold(leaf, steps, scan, shard.range, shard.segments).await?;
            Ok(Found::Fold(Box::new(fold)))
        }
        _ => Err(Error::Invalid("a shard of another question".to_owned())),
    }
}
