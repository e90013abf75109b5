//! The figures as tables, as JSON and as a plot, beside those of the origin design (tests/bench/README.md).

use std::path::Path;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use plotters::prelude::*;
use serde::Serialize;

use crate::chat::Load;
use crate::floor::Floor;
use crate::functions::Function;
use crate::growth::Growth;
use crate::rest::Requests;

/// Messages per second of Socket.IO, Prisma and Postgres in one Node process, on a machine with two cores:
/// with one sender, and at most.
const ORIGIN_ONE: f64 = 324.0;
const ORIGIN_MOST: f64 = 800.0;

/// Sends per second of Postgres alone on the machine of the origin design, by the number of clients (with
/// pgbench).
const ORIGIN_FLOOR: [(usize, u32); 2] = [(1, 1500), (32, 4500)];

/// Requests per second of the origin design's HTTP API, with 16 clients.
const ORIGIN_REST: [(&str, u32); 3] = [("list", 805), ("history", 545), ("find-or-create", 607)];

#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) floor: Vec<Floor>,
    pub(crate) chat: Vec<Load>,
    pub(crate) rest: Vec<Requests>,
    pub(crate) functions: Vec<Function>,
    pub(crate) growth: Vec<Growth>,
}

impl Report {
    pub(crate) fn print(&self) {
        if cfg!(debug_assertions) {
            println!("\nTHESE FUNCTIONS ARE NOT OPTIMISED: run it with --release to measure anything.");
        }
        if !self.floor.is_empty() {
            let head = ["a second", "p50 ms", "p99", "where the origin was measured"];
            let mut table = table("Postgres alone", &head);
            for Floor { clients, per_second, times } in &self.floor {
                let origin = ORIGIN_FLOOR.iter().find(|(of, _)| of == clients);
                table.add_row([
                    format!("{clients} clients"),
                    format!("{per_second:.0}"),
                    ms(times.p50),
                    ms(times.p99),
                    origin.map_or_else(String::new, |(_, per_second)| per_second.to_string()),
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
            let mut table =
                table("REST", &["clients", "a second", "p50 ms", "p95", "p99", "failed", "origin a second"]);
            for Requests { request, clients, per_second, times, failed } in &self.rest {
                let origin = ORIGIN_REST.iter().find(|(name, _)| name == request && *clients == 16);
                table.add_row([
                    request.to_string(),
                    clients.to_string(),
                    format!("{per_second:.0}"),
                    ms(times.p50),
                    ms(times.p95),
                    ms(times.p99),
                    failed.to_string(),
                    origin.map_or_else(String::new, |(_, per_second)| per_second.to_string()),
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
        }
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
        table.add_row(["origin, 1 sending", "324", "2.80"]);
        table.add_row(["origin, at most", "650 to 800"]);
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
        table.add_row(["origin", "", "", "1.3 to 1.8", "", "", "230 to 290", "", "", "3 to 4"]);
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
    }

    /// Messages per second, by the number of senders.
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

fn ms(milliseconds: f64) -> String {
    format!("{milliseconds:.2}")
}

fn mb(megabytes: f64) -> String {
    format!("{megabytes:.1}")
}
