//! The figures as tables, as JSON and as a plot, beside those of the origin design (DESIGN.md, section 9).

use std::path::Path;

use plotters::prelude::*;
use serde::Serialize;

use crate::chat::Load;
use crate::functions::Function;
use crate::growth::Growth;
use crate::rest::Requests;

/// Messages a second of Socket.IO, Prisma and Postgres in one Node process, on a machine of two cores: at one sender, and at most.
const ORIGIN_ONE: f64 = 324.0;
const ORIGIN_MOST: f64 = 800.0;

#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) chat: Vec<Load>,
    pub(crate) rest: Vec<Requests>,
    pub(crate) functions: Vec<Function>,
    pub(crate) growth: Vec<Growth>,
}

impl Report {
    pub(crate) fn print(&self) {
        if !self.chat.is_empty() {
            println!(
                "\nwhole path            msg/s     p50     p95     p99 ms   lost  dup  order   CPU ms/msg: functions gateway* Postgres   MB: function functions gateway* Postgres   per message: Postgres DynamoDB callbacks"
            );
        }
        for load in &self.chat {
            println!(
                "{:<18} {:>8.0} {:>7.2} {:>7.2} {:>7.2}    {:>6} {:>4} {:>6} {:>23.2} {:>8.2} {:>8.2} {:>14.1} {:>9.1} {:>8.1} {:>8.1} {:>23.2} {:>8.2} {:>9.2}",
                load.name,
                load.messages_per_second,
                load.receipt.p50,
                load.receipt.p95,
                load.receipt.p99,
                load.lost,
                load.duplicated,
                load.out_of_order,
                load.cpu_functions,
                load.cpu_gateway,
                load.cpu_postgres,
                load.resident_function,
                load.resident_functions,
                load.resident_gateway,
                load.resident_postgres,
                load.postgres_calls,
                load.dynamodb_calls,
                load.pushes,
            );
        }
        if !self.chat.is_empty() {
            println!(
                "origin, 1 sending       324    2.80   one process: 230 to 290 MB, 1.3 to 1.8 ms of CPU a message besides Postgres; 650 to 800/s at most"
            );
            println!(
                "tuned by hand           645    0.90   one process: 105 MB, 0.26 to 0.4 ms; 2,240/s at most"
            );
            println!("* the gateway's process holds DynamoDB and the Runtime API too");
        }
        if !self.rest.is_empty() {
            println!(
                "\nREST               clients      per s     p50     p95     p99 ms   failed   origin design, 16 clients: list 805, history 545, find-or-create 607"
            );
        }
        for Requests { request, clients, per_second, times, failed } in &self.rest {
            println!(
                "{request:<18} {clients:>7} {per_second:>10.0} {:>7.2} {:>7.2} {:>7.2}    {failed:>6}",
                times.p50, times.p95, times.p99
            );
        }
        if !self.functions.is_empty() {
            println!(
                "\nfunction                      MB on disk   first /next ms   first answer ms   warm p50   p99 ms   CPU ms   resident MB"
            );
        }
        for function in &self.functions {
            println!(
                "{:<28} {:>11.1} {:>16.1} {:>17.1} {:>10.2} {:>8.2} {:>8.2} {:>13.1}",
                function.name,
                function.size,
                function.first_next.p50,
                function.first_answer.p50,
                function.warm.p50,
                function.warm.p99,
                function.warm_cpu,
                function.resident,
            );
        }
        if !self.growth.is_empty() {
            println!("\ngrowth                          of     p50     p95 ms");
        }
        for Growth { what, of, times } in &self.growth {
            println!("{what:<24} {of:>9} {:>7.2} {:>7.2}", times.p50, times.p95);
        }
    }

    /// `bench.json`, and the plot of the whole path as `bench.svg`.
    pub(crate) fn write(&self, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("bench.json"), serde_json::to_string_pretty(self).unwrap()).unwrap();
        println!("\n{}", folder.join("bench.json").display());
        if !self.chat.is_empty() {
            let plot = folder.join("bench.svg");
            self.plot(&plot).unwrap();
            println!("{}", plot.display());
        }
    }

    /// Messages a second by how many send.
    fn plot(&self, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let loads: Vec<&Load> = self.chat.iter().filter(|load| load.name.ends_with("sending")).collect();
        let points: Vec<_> =
            loads.iter().map(|load| (load.senders as f64, load.messages_per_second)).collect();
        let most = points.iter().map(|(_, rate)| *rate).fold(ORIGIN_MOST, f64::max) * 1.1;
        let root = SVGBackend::new(path, (720, 420)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption("messages a second, whole path", ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..68.0, 0.0..most)?;
        chart.configure_mesh().x_desc("users who send").y_desc("messages a second").draw()?;
        chart
            .draw_series(LineSeries::new(points.iter().copied(), BLUE.stroke_width(2)))?
            .label("Switchboard")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], BLUE.stroke_width(2)));
        chart
            .draw_series(LineSeries::new(
                [(1.0, ORIGIN_ONE), (8.0, ORIGIN_MOST), (64.0, ORIGIN_MOST)],
                RED.stroke_width(2),
            ))?
            .label("the origin design, at most")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], RED.stroke_width(2)));
        chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
        root.present()?;
        Ok(())
    }
}
