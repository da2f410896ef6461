//! `throughline demo`: a shop, the proxy and the ad networks on one machine, to click through.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    thread,
};

use axum::Router;
use clap::Args;
use tokio::runtime;

use super::{
    Exit, check, complain, logging,
    run::{self, Hangup, Lineage, Prepared},
    say,
};
use crate::{
    config::{Config, Environment, Log},
    proxy::sockets::Inherited,
    reload::Source,
    store::clock,
};

pub mod network;
pub mod shop;

use network::ReceivedLog;

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct Options {
    /// Where visitors connect
    #[arg(long, default_value = "127.0.0.1:8000", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where operators connect
    #[arg(long, default_value = "127.0.0.1:9180", value_name = "ADDRESS")]
    admin: SocketAddr,
}

pub(super) fn execute(options: &Options) -> Exit {
    logging::start(&Log { level: "warn", ..Log::default() });
    let folder = std::env::temp_dir().join(format!("throughline-demo-{}", std::process::id()));
    let exit = play(options, &folder).unwrap_or_else(|error| {
        complain(&format!("the demo cannot be set up: {error}"));
        Exit::Failure
    });
    // Nothing stays behind; a folder that was never made need not be removed.
    let _removed = fs::remove_dir_all(&folder);
    exit
}

fn play(options: &Options, folder: &Path) -> io::Result<Exit> {
    let Stage { shop, networks, configuration } = stage(options, folder)?;
    let file = folder.join("throughline.yaml");
    let config = match Config::parse(&file, &configuration, Environment::Process) {
        Ok(config) => config,
        Err(error) => {
            check::print(&error.problems);
            return Ok(Exit::Configuration);
        }
    };
    let prepared = match Prepared::new(&file, config, Source::File, true, &mut Inherited::default()) {
        Ok(prepared) => prepared,
        Err(obstacle) => return Ok(obstacle.tell()),
    };
    let entrance = prepared.address().unwrap_or(options.listen).to_string();
    let guide = filled(
        GUIDE,
        &[
            ("{{listen}}", entrance.clone()),
            ("{{admin}}", prepared.admin_address()?.to_string()),
            ("{{network}}", networks.local_addr()?.to_string()),
            ("{{file}}", file.display().to_string()),
        ],
    );
    // Seconds since the epoch: no two demos sell under the same order number.
    let first_order = u32::try_from(clock::now().as_millis() / 1000).unwrap_or(1);
    serve("shop", shop, shop::router(first_order))?;
    serve("networks", networks, network::router(ReceivedLog::new(&entrance)))?;
    say(&guide);
    Ok(run::serve(prepared, Hangup::Ends, Lineage::default()))
}

/// What the proxy will stand between.
struct Stage {
    shop: TcpListener,
    networks: TcpListener,
    configuration: String,
}

/// Opens the shop and the networks, and writes the proxy's configuration.
fn stage(options: &Options, folder: &Path) -> io::Result<Stage> {
    let state = folder.join("state");
    fs::create_dir_all(&state)?;
    for key in ["rokt-public-key", "rokt-secret-key"] {
        write(&state.join(key), "demo")?;
    }
    let (shop, networks) = (free_port()?, free_port()?);
    let configuration = filled(
        CONFIGURATION,
        &[
            ("{{listen}}", options.listen.to_string()),
            ("{{admin}}", options.admin.to_string()),
            ("{{shop}}", shop.local_addr()?.to_string()),
            ("{{network}}", networks.local_addr()?.to_string()),
            ("{{state}}", state.display().to_string()),
        ],
    );
    write(&folder.join("throughline.yaml"), &configuration)?;
    Ok(Stage { shop, networks, configuration })
}

fn filled(text: &str, places: &[(&str, String)]) -> String {
    places.iter().fold(text.to_owned(), |text, (place, value)| text.replace(place, value))
}

fn free_port() -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn serve(name: &str, listener: TcpListener, router: Router) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let served =
            runtime.block_on(async { axum::serve(tokio::net::TcpListener::from_std(listener)?, router).await });
        if let Err(error) = served {
            complain(&format!("a part of the demo has ended: {error}"));
        }
    })?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the demo writes its own configuration into a temporary folder")]
fn write(file: &Path, text: &str) -> io::Result<()> {
    fs::write(file, text)
}

/// The proxy's configuration, with places to fill in.
const CONFIGURATION: &str = include_str!("demo/throughline.yaml");

/// What is printed when all is up, with places to fill in.
const GUIDE: &str = include_str!("demo/guide.txt");
