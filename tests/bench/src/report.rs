//! The figures as tables, as JSON and as a plot.

use std::path::Path;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use plotters::prelude::*;
use serde::Serialize;

use crate::aws::{Billed, by_memory};
use crate::chat::Load;
use crate::compare::Figure;
use crate::floor::Floor;
use crate::functions::Function;
use crate::growth::{Growth, Open};
use crate::rest::Requests;
use crate::stack::profile;

#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) compare: Vec<Figure>,
    pub(crate) floor: Vec<Floor>,
    pub(crate) chat: Vec<Load>,
    pub(crate) rest: Vec<Requests>,
    pub(crate) functions: Vec<Function>,
    pub(crate) growth: Vec<Growth>,
    pub(crate) open: Option<Open>,
    pub(crate) aws: Vec<Billed>,
    pub(crate) memory: Vec<Billed>,
}

impl Report {
    pub(crate) fn print(&self) {
        let built = match profile().as_deref() {
            None => "THE FUNCTIONS ARE NOT OPTIMISED: ignore the figures, or add --profile no-lto".to_owned(),
            Some("release") => "The functions are built as they are deployed".to_owned(),
            Some(profile) => format!("The functions are built with the profile {profile}"),
        };
        println!("\n{built}.");
        if !self.compare.is_empty() {
            self.print_comparison();
        }
        if !self.floor.is_empty() {
            let head = ["a second", "p50 ms", "p99"];
            let mut table = table("Postgres alone", &head);
            for Floor { clients, per_second, times } in &self.floor {
                table.add_row([
                    format!("{clients} clients"),
                    format!("{per_second:.0}"),
                    ms(times.p50),
                    ms(times.p99),
                ]);
            }
            show(&table);
        }
        if !self.chat.is_empty() {
            self.print_path();
            self.print_way();
            self.print_costs();
        }
        if !self.rest.is_empty() {
            let mut table = table("REST", &["clients", "a second", "p50 ms", "p95", "p99", "failed"]);
            for Requests { request, clients, per_second, times, failed } in &self.rest {
                table.add_row([
                    request.to_string(),
                    clients.to_string(),
                    format!("{per_second:.0}"),
                    ms(times.p50),
                    ms(times.p95),
                    ms(times.p99),
                    failed.to_string(),
                ]);
            }
            show(&table);
        }
        if !self.functions.is_empty() {
            let head = [
                "first /next ms",
                "first answer",
                "warm p50",
                "warm p99",
                "CPU",
                "idle",
                "resident MB",
                "on disk MB",
            ];
            let mut table = table("function", &head);
            for function in &self.functions {
                table.add_row([
                    function.name.to_owned(),
                    ms(function.first_next.p50),
                    ms(function.first_answer.p50),
                    ms(function.warm.p50),
                    ms(function.warm.p99),
                    ms(function.warm_cpu),
                    ms(function.warm_idle),
                    mb(function.resident),
                    mb(function.size),
                ]);
            }
            show(&table);
            println!(
                "idle is what is neither processor time nor a wait for Postgres, DynamoDB or a callback"
            );
            println!(
                "warm events find nothing left to do in mark_read, leave_conversation and disconnect, and a \
                    conversation in find_or_create_conversation"
            );
        }
        if !self.growth.is_empty() {
            let mut table = table("growth", &["of", "p50 ms", "p95"]);
            for Growth { what, of, times } in &self.growth {
                table.add_row([what.to_string(), of.to_string(), ms(times.p50), ms(times.p95)]);
            }
            show(&table);
            if let Some(Open { connections, kb_each }) = self.open {
                println!(
                    "{connections} open connections take {kb_each:.0} KB each in the gateway and DynamoDB"
                );
            }
        }
        if !self.aws.is_empty() {
            self.print_bills();
        }
        if !self.memory.is_empty() {
            self.print_memory();
        }
        if self.aws.iter().chain(&self.memory).any(|one| !one.has_share) {
            println!("WITHOUT THE PROCESSOR SHARES OF AWS: no control group can be made here");
        }
    }

    fn print_bills(&self) {
        let head = ["MB", "start ms", "first event", "warm p50", "p99", "billed", "$ a million", "calls"];
        let mut own = table("as on AWS, with the memory of the template", &head);
        for one in &self.aws {
            let [postgres, dynamodb, pushes] = one.calls;
            own.add_row([
                one.function.to_owned(),
                one.memory.to_string(),
                ms_or_none(one.start.p50),
                ms_or_none(one.first.p50),
                ms(one.warm.p50),
                ms(one.warm.p99),
                format!("{:.0}", one.billed),
                format!("{:.2}", one.million),
                format!("{postgres} P {dynamodb} D {pushes} C"),
            ]);
        }
        show(&own);
        println!("calls: to Postgres (a round trip of 1 ms), to DynamoDB (4 ms), and pushes (15 ms)");
    }

    fn print_memory(&self) {
        let by_memory = by_memory(&self.memory);
        let sizes = by_memory.values().next().map(Vec::as_slice).unwrap_or_default();
        let head: Vec<_> = sizes.iter().map(|one| format!("{} MB", one.memory)).collect();
        let mut compared = table(
            "first, median and p99 in ms; $ a million",
            &head.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        for (function, of) in &by_memory {
            let cells = of.iter().map(|one| {
                let Billed { first, warm, million, .. } = one;
                format!("{:.0}, {:.0}, {:.0}; {million:.2}", first.p50, warm.p50, warm.p99)
            });
            compared.add_row(std::iter::once((*function).to_owned()).chain(cells));
        }
        show(&compared);
    }

    /// Medians over the rounds, and the least and the largest ratio.
    fn print_comparison(&self) {
        let head = ["Switchboard", "yardstick", "", "ratio", "least", "largest"];
        let mut table = table("beside its yardsticks", &head);
        let mut named: Vec<(&str, &str)> = Vec::new();
        for figure in &self.compare {
            if !named.contains(&(&figure.what, figure.yardstick)) {
                named.push((&figure.what, figure.yardstick));
            }
        }
        for (what, yardstick) in named {
            let rounds = self.compare.iter().filter(|of| of.what == what && of.yardstick == yardstick);
            let sorted = |value: fn(&Figure) -> f64| {
                let mut values: Vec<f64> = rounds.clone().map(value).collect();
                values.sort_by(f64::total_cmp);
                values
            };
            let median = |values: &[f64]| (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
            let ratios = sorted(Figure::ratio);
            let unit = rounds.clone().next().map_or("", |figure| figure.unit);
            let number = |value: f64| if unit == "ms" { ms(value) } else { format!("{value:.0}") };
            table.add_row([
                [what, unit].join(" "),
                number(median(&sorted(|figure| figure.switchboard))),
                number(median(&sorted(|figure| figure.of_yardstick))),
                yardstick.to_owned(),
                ms(median(&ratios)),
                ms(ratios[0]),
                ms(ratios[ratios.len() - 1]),
            ]);
        }
        show(&table);
    }

    fn print_path(&self) {
        let mut table = table(
            "whole path",
            &["messages a second", "p50 ms", "p95", "p99", "lost", "duplicated", "out of order"],
        );
        for load in &self.chat {
            table.add_row([
                load.name.clone(),
                format!("{:.0}", load.messages_per_second),
                ms(load.receipt.p50),
                ms(load.receipt.p95),
                ms(load.receipt.p99),
                load.lost.to_string(),
                load.duplicated.to_string(),
                load.out_of_order.to_string(),
            ]);
        }
        show(&table);
    }

    fn print_way(&self) {
        let head = [
            "from send to receipt",
            "in the function",
            "of it Postgres",
            "DynamoDB",
            "callbacks",
            "itself",
            "idle",
        ];
        let mut table = table("ms, on average", &head);
        for load in &self.chat {
            let waits = load.postgres_ms + load.dynamodb_ms + load.pushes_ms;
            table.add_row([
                load.name.clone(),
                ms(load.receipt.mean),
                ms(load.event_ms),
                ms(load.postgres_ms),
                ms(load.dynamodb_ms),
                ms(load.pushes_ms),
                ms(load.event_ms - waits),
                ms(load.idle_ms),
            ]);
        }
        show(&table);
    }

    fn print_costs(&self) {
        let mut table = table(
            "a message",
            &[
                "CPU ms: functions",
                "gateway*",
                "both",
                "Postgres",
                "MB: a function",
                "all",
                "gateway*",
                "Postgres",
                "calls: Postgres",
                "DynamoDB",
                "callbacks",
            ],
        );
        for load in &self.chat {
            table.add_row([
                load.name.clone(),
                ms(load.cpu_functions),
                ms(load.cpu_gateway),
                ms(load.cpu_functions + load.cpu_gateway),
                ms(load.cpu_postgres),
                mb(load.resident_function),
                mb(load.resident_functions),
                mb(load.resident_gateway),
                mb(load.resident_postgres),
                ms(load.postgres_calls),
                ms(load.dynamodb_calls),
                ms(load.pushes),
            ]);
        }
        show(&table);
        println!("* the process of the gateway holds DynamoDB and the Runtime API too");
        println!(
            "memory of one function is all that it has in memory, of all functions without counting twice \
                what they share"
        );
    }

    /// Messages that were lost, duplicated or out of order.
    pub(crate) fn failures(&self) -> usize {
        self.chat.iter().map(|load| load.lost + load.duplicated).sum::<usize>()
            + self.rest.iter().map(|requests| requests.failed).sum::<usize>()
    }

    /// Writes `bench.json`, and the plot of the whole path as `bench.svg`.
    pub(crate) fn write(&self, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("bench.json"), serde_json::to_string_pretty(self).unwrap()).unwrap();
        println!("\n{}", folder.join("bench.json").display());
        if !self.chat.is_empty() {
            let plot = folder.join("bench.svg");
            self.plot(&plot).unwrap();
            println!("{}", plot.display());
        }
        if !self.growth.is_empty() {
            let plot = folder.join("growth.svg");
            self.plot_growth(&plot).unwrap();
            println!("{}", plot.display());
        }
    }

    /// Medians, by what grows.
    fn plot_growth(&self, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let root = SVGBackend::new(path, (720, 420)).into_drawing_area();
        root.fill(&WHITE)?;
        let most = self.growth.iter().map(|growth| growth.times.p50).fold(1.0, f64::max) * 2.0;
        let mut chart = ChartBuilder::on(&root)
            .caption("medians in ms, by what grows", ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d((1.0..2e6).log_scale(), (0.1..most).log_scale())?;
        chart.configure_mesh().x_desc("connections, messages, conversations").y_desc("ms").draw()?;
        let mut names: Vec<_> = self.growth.iter().map(|growth| growth.what).collect();
        names.sort_unstable();
        names.dedup();
        for (at, name) in names.into_iter().enumerate() {
            let color = Palette99::pick(at).mix(1.0);
            let of_it = self.growth.iter().filter(|growth| growth.what == name);
            let points = of_it.map(|growth| (growth.of.max(1) as f64, growth.times.p50));
            chart
                .draw_series(LineSeries::new(points, color.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()?;
        root.present()?;
        Ok(())
    }

    /// Messages per second, by the number of senders.
    fn plot(&self, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let loads: Vec<&Load> = self.chat.iter().filter(|load| load.name.ends_with("sending")).collect();
        let points: Vec<_> =
            loads.iter().map(|load| (load.senders as f64, load.messages_per_second)).collect();
        let most = points.iter().map(|(_, rate)| *rate).fold(1.0, f64::max) * 1.1;
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
        chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
        root.present()?;
        Ok(())
    }
}

fn table(name: &str, columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header([&[name], columns].concat());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn show(table: &Table) {
    println!("\n{table}");
}

/// Nothing was measured if it is 0.
fn ms_or_none(milliseconds: f64) -> String {
    if milliseconds == 0.0 { String::new() } else { ms(milliseconds) }
}

fn ms(milliseconds: f64) -> String {
    format!("{milliseconds:.2}")
}

fn mb(megabytes: f64) -> String {
    format!("{megabytes:.1}")
}
