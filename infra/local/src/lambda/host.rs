//! Runs functions as processes. A process handles one event at a time, or as many as the template says for a
//! Lambda Managed Instance.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::task::JoinSet;
use uuid::Uuid;

use super::environment::environment;
use super::invocation::{Invocation, InvokeError, NotStarted, Outcome};
use super::log::LogFormat;
use super::pool::{Event, FunctionPool, Instance, Instances};
use super::trial::{self, Trial};
use super::{process, runtime_api};
use crate::as_on_aws::Shares;
use crate::keeper::Keeper;
use crate::listener::listen;
use crate::template::{Function, Values};

/// The configuration of a host.
#[derive(Debug)]
pub(crate) struct HostConfig {
    /// The maximum number of processes of a function.
    pub(crate) max_instances: usize,
    /// Whether an event is refused if all of them are busy. Otherwise it waits.
    pub(crate) throttle: bool,
    /// The folder of the binaries.
    pub(crate) binaries: PathBuf,
    /// Variables of all functions.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) log_format: LogFormat,
    pub(crate) values: Values,
    /// The shares of processors, if they are to be as on AWS.
    pub(crate) shares: Option<Shares>,
}

/// A host. Cheap to clone: all clones are one host.
#[derive(Clone, Debug)]
pub(crate) struct Host(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: HostConfig,
    runtime_api: SocketAddr,
    keeper: Keeper,
    functions: HashMap<String, Arc<FunctionPool>>,
    instances: Arc<Instances>,
    /// A task for each process. To abort it kills the process.
    tasks: Mutex<JoinSet<()>>,
}

impl Host {
    /// Starts a host: opens the Runtime API.
    pub(crate) async fn start(
        functions: Vec<Function>,
        config: HostConfig,
        keeper: Keeper,
    ) -> std::io::Result<Self> {
        let listener = listen(0)?;
        let runtime_api = listener.local_addr()?;
        let functions = functions.into_iter().map(|function| {
            let (name, arn) = (function.name.clone(), config.values.function_arn(&function.name));
            let binary = config.binaries.join(&function.binary);
            (name, Arc::new(FunctionPool::new(function, arn, binary)))
        });
        let functions = functions.collect();
        let instances = Arc::<Instances>::default();
        tokio::spawn(runtime_api::serve(listener, instances.clone()));
        let tasks = Mutex::default();
        Ok(Self(Arc::new(Inner { config, runtime_api, keeper, functions, instances, tasks })))
    }

    pub(super) fn has(&self, function: &str) -> bool {
        self.0.functions.contains_key(function)
    }

    pub(super) fn arn(&self, function: &str) -> String {
        self.0.config.values.function_arn(function)
    }

    pub(super) async fn run(&self, function: &str, invocation: Invocation) -> Outcome {
        let request_id = Uuid::new_v4();
        let outcome = |result| Outcome::without_log(request_id, result);
        let Some(pool) = self.0.functions.get(function) else {
            return outcome(Err(InvokeError::NotFound));
        };
        let HostConfig { throttle, max_instances, log_format, .. } = self.0.config;
        let capacity = max_instances * usize::from(pool.function.concurrency.unwrap_or(1));
        let most = if throttle { capacity } else { usize::MAX };
        let Some((event, done)) = Event::new(request_id, invocation, pool, most) else {
            return outcome(Err(InvokeError::Throttled));
        };
        if let Some(added) = pool.dispatch(event, max_instances, log_format) {
            self.spawn(added);
        }
        // The sender is dropped if a process dies between receiving the event and starting on it.
        done.await.unwrap_or_else(|_| outcome(Err(InvokeError::exited(request_id, None))))
    }

    fn spawn(&self, instance: Arc<Instance>) {
        self.0.instances.insert(instance.clone());
        let mut tasks = self.lock_tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(self.clone().run_instance(instance));
    }

    /// Runs a process, and then its replacement, if one is needed.
    async fn run_instance(self, instance: Arc<Instance>) {
        let Inner { config, runtime_api, keeper, instances, .. } = &*self.0;
        let function = &instance.pool.function;
        let region = &config.values.region;
        let environment = environment(function, &config.environment, region, *runtime_api, instance.id);
        let (end, started) = process::run(&instance, &environment, keeper, config.shares.as_ref()).await;
        instances.remove(instance.id);
        let error = |request_id| end.error(request_id);
        if let Some(next) = instance.ended(started, config.max_instances, error) {
            self.spawn(next);
        }
    }

    /// Starts a process of a function on trial. It gets no event.
    pub(crate) async fn try_start(&self, function: &Function) -> Result<(), NotStarted> {
        let HostConfig { binaries, environment: shared, values, .. } = &self.0.config;
        let variables = |address| environment(function, shared, &values.region, address, Uuid::new_v4());
        match trial::start(&binaries.join(&function.binary), variables).await {
            Ok(Trial::Started) => Ok(()),
            Ok(Trial::Ended { stderr }) => {
                // `main` prints the error that it returns after this prefix.
                let error = stderr.strip_prefix("Error: ").unwrap_or(&stderr).to_owned();
                Err(NotStarted::Refused(function.name.clone(), error))
            }
            Err(error) => Err(NotStarted::NoProcess(function.name.clone(), error)),
        }
    }

    /// Runs the binaries in `folder` from now on. Processes with an older binary finish their events.
    pub(crate) fn replace(&self, functions: &[String], folder: &Path) {
        for pool in functions.iter().filter_map(|function| self.0.functions.get(function)) {
            pool.replace(folder);
        }
    }

    /// Kills all processes. Their events are lost, as on AWS.
    pub(crate) async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.lock_tasks());
        tasks.shutdown().await;
        if let Some(shares) = &self.0.config.shares {
            shares.end().await;
        }
    }

    fn lock_tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.tasks.lock().expect("nothing panics while it holds this lock")
    }
}
