//! The report of a training run.

use licen_core::report::JobReport;

/// What a report says, in a line.
#[must_use]
pub fn summary(report: &JobReport) -> String {
    let rows = &report.rows;
    let shapes: Vec<String> = rows.shapes.iter().map(|(shape, n)| format!("{n} {shape}")).collect();
    let nats = |loss: u32| f64::from(loss) / 1e3;
    let losses = match (report.losses.first(), report.losses.last()) {
        (Some(first), Some(last)) => format!("loss {:.3} -> {:.3}, ", nats(first.loss), nats(last.loss)),
        _ => String::new(),
    };
    let lost = if rows.without_target == 0 {
        String::new()
    } else {
        format!(", {} rows without a target", rows.without_target)
    };
    format!(
        "{losses}rows {} ({} held out){lost}, {} compute seconds",
        shapes.join(", "),
        rows.held_out,
        report.compute_seconds
    )
}
