//! The show, step by step.

use super::DemoOptions;
use super::borrowed;
use super::client::{self, Client};
use super::error::{Attempt, Result};
use super::format::{grouped, seconds};
use super::forward;
use super::node::Node;
use super::operator;
use super::painter::Painter;
use super::picture::Screen;
use super::report::{Outage, Report};
use super::stage::{self, VIRTUAL_ADDRESS};
use super::status::{Sight, Watch};
use super::survivor;
use super::wait;
use std::time::{Duration, Instant};

/// How long a daemon may take to answer after its node was switched on.
const DAEMON_LIMIT: Duration = Duration::from_secs(20);
/// How long a change of roles may take to be complete.
const ROLES_LIMIT: Duration = Duration::from_secs(30);
/// How long the disks of the show, which are nearly empty, may take to be equal.
const RESYNCHRONISATION_LIMIT: Duration = Duration::from_secs(60);

/// How the show is given.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How long the parts last in which nothing happens but the client's writing.
    pub quiet: Duration,
    takeover_after: Duration,
    sabotage: Option<String>,
}

impl Plan {
    /// As the options say.
    pub fn new(options: &DemoOptions) -> Self {
        Self {
            quiet: Duration::from_secs(if options.fast { 1 } else { 4 }),
            takeover_after: options.takeover_after,
            sabotage: options.sabotage(),
        }
    }
}

/// The show: everything that is on stage.
pub struct Show<'a> {
    screen: &'a Screen,
    plan: Plan,
    begin: Instant,
    watch: Watch,
    client: client::Shared,
    _painter: Painter,
}

/// The numbers of the node that serves and of the other one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Roles {
    primary: u8,
    standby: u8,
}

impl Roles {
    /// The answer to the first start is the operator's, and ours is node 1.
    const FIRST: Self = Self {
        primary: 1,
        standby: 2,
    };

    fn swapped(self) -> Self {
        Self {
            primary: self.standby,
            standby: self.primary,
        }
    }
}

impl<'a> Show<'a> {
    /// Builds the stage.
    pub fn new(screen: &'a Screen, plan: Plan) -> Result<Self> {
        screen.begin("two nodes, each with its own disk, and a client on one network");
        if borrowed::is_borrowed() {
            screen.say(borrowed::REMARK);
        }
        stage::build()?;
        let watch = Watch::start()?;
        let client = client::Shared::default();
        let painter = Painter::start(screen.clone(), watch.clone(), client.clone());
        Ok(Self {
            screen,
            plan,
            begin: Instant::now(),
            watch,
            client,
            _painter: painter,
        })
    }

    /// Gives the show, to the end: both nodes are stopped and switched off, and counted.
    pub fn give(&self) -> Result<Report> {
        self.install()?;
        let mut one = self.switch_on(1)?;
        let two = self.switch_on(2)?;
        let mut client = self.first_start(&one, &two)?;
        let mut outages = Vec::new();

        let cut = self.cut_power(one, &client)?;
        outages.push(self.told("power cut", cut));

        let roles = Roles::FIRST.swapped();
        one = self.switch_on(1)?;
        self.come_back(&one, &two, roles)?;

        let swap = self.swap(&two, roles, &client)?;
        outages.push(self.told("swap", swap));

        let roles = roles.swapped();
        client.stop().attempt(|| "run the client".to_owned())?;
        self.wait_until_uptodate(roles, ROLES_LIMIT)?;
        self.stop(&one)?;
        self.switch_off(one)?;
        self.switch_off(two)?;
        self.screen.begin("counting");
        let journal = client.journal();
        let copies = [roles.primary, roles.standby]
            .map(|number| survivor::count(number, &journal))
            .into_iter()
            .collect::<Result<_>>()?;
        Ok(Report {
            copies,
            outages,
            total: self.begin.elapsed(),
        })
    }

    /// Configuration and keys, as an operator brings them to both nodes.
    fn install(&self) -> Result<()> {
        let idle = ["sleep".to_owned(), "infinity".to_owned()];
        let one = Node::boot(1, &idle)?;
        let two = Node::boot(2, &idle)?;
        for node in [&one, &two] {
            operator::install(node, self.plan.takeover_after)?;
        }
        operator::pair(&one, &two)?;
        one.shut_down()?;
        two.shut_down()?;
        self.screen.say("configured and paired");
        Ok(())
    }

    fn switch_on(&self, number: u8) -> Result<Node> {
        let mut program = operator::tandem(&["daemon"]);
        if let Some(sabotage) = &self.plan.sabotage {
            let setting = format!("TANDEM_SABOTAGE={sabotage}");
            program.splice(0..0, ["env".to_owned(), setting]);
        }
        let node = Node::boot(number, &program)?;
        self.watch.switched_on(number, operator::token(&node)?);
        let what = format!("the daemon of node{number} to answer");
        wait::until(&what, DAEMON_LIMIT, || {
            let running = node.check();
            match self.watch.sight(number) {
                Sight::Answering(_) => Ok(Ok(())),
                Sight::Off | Sight::Silent if running.is_err() => Ok(running),
                Sight::Off | Sight::Silent => Err("it is silent".to_owned()),
            }
        })??;
        Ok(node)
    }

    fn switch_off(&self, node: Node) -> Result<()> {
        self.watch.switched_off(node.number());
        node.shut_down()
    }

    /// The answer to the first start is the operator's: node 1 has the data.
    fn first_start(&self, one: &Node, two: &Node) -> Result<Client> {
        self.screen
            .begin("first start: node1 has the data, node2 is the standby");
        let started = Instant::now();
        operator::command(one, &["prim"])?;
        let client = Client::start(
            &stage::client_namespace_file(),
            VIRTUAL_ADDRESS,
            self.client.clone(),
        )
        .attempt(|| "start the client".to_owned())?;
        client.served_after(started, "the first start")?;
        self.screen.say(&format!(
            "the client writes through {VIRTUAL_ADDRESS} while node2 is synchronised"
        ));
        operator::command(two, &["second"])?;
        self.see_uptodate(Roles::FIRST, RESYNCHRONISATION_LIMIT)?;
        wait::pause(self.plan.quiet)?;
        Ok(client)
    }

    /// Cuts the primary's power, and gives the moment.
    fn cut_power(&self, primary: Node, client: &Client) -> Result<Instant> {
        let number = primary.number();
        // Under load the primary may have gone on alone in the quiet part. What it acknowledged
        // since then is nowhere else, and no standby may take over from it.
        client.served_after(Instant::now(), "both nodes were uptodate")?;
        self.wait_until_uptodate(Roles::FIRST, RESYNCHRONISATION_LIMIT)?;
        self.screen.begin(&format!(
            "the power of node{number} is cut, {} events in",
            grouped(client.journal().acknowledged.len())
        ));
        if borrowed::is_borrowed() {
            self.screen.say(borrowed::REMARK);
        }
        let cut = primary.cut_power()?;
        self.watch.switched_off(number);
        let outage = client.served_after(cut, "the power cut")?;
        let heir = 3 - number;
        self.wait_for(heir, "to serve alone", |sight| sight.is("ALONE"))?;
        self.screen.say(&format!(
            "node{heir} has taken over: served again after {}",
            seconds(outage)
        ));
        wait::pause(self.plan.quiet)?;
        Ok(cut)
    }

    fn come_back(&self, returned: &Node, serving: &Node, roles: Roles) -> Result<()> {
        self.screen.begin(&format!(
            "node{} comes back; node{} goes on serving",
            returned.number(),
            serving.number()
        ));
        operator::command(returned, &["start"])?;
        self.see_uptodate(roles, RESYNCHRONISATION_LIMIT)?;
        wait::pause(self.plan.quiet)
    }

    /// Swaps the roles, and gives the moment.
    fn swap(&self, asked: &Node, roles: Roles, client: &Client) -> Result<Instant> {
        self.screen
            .begin("swap: the roles are exchanged on purpose");
        let swap = Instant::now();
        operator::command(asked, &["swap"])?;
        let outage = client.served_after(swap, "the swap")?;
        self.see_uptodate(roles.swapped(), ROLES_LIMIT)?;
        self.screen.say(&format!(
            "node{} serves again after {}",
            roles.standby,
            seconds(outage)
        ));
        wait::pause(self.plan.quiet)?;
        Ok(swap)
    }

    /// Stops the module as a whole: the services end, both copies are brought level.
    fn stop(&self, primary: &Node) -> Result<()> {
        self.screen.begin("both nodes are stopped");
        operator::command(primary, &["stop", "--all"])?;
        for number in [1, 2] {
            self.wait_for(number, "to be STOP", |sight| sight.is("STOP"))?;
        }
        Ok(())
    }

    fn wait_until_uptodate(&self, roles: Roles, limit: Duration) -> Result<()> {
        let Roles { primary, standby } = roles;
        let what = format!("node{primary} to be PRIM and node{standby} SECOND, both uptodate");
        wait::until(&what, limit, || {
            let (first, second) = (self.watch.sight(primary), self.watch.sight(standby));
            if first.is_uptodate("PRIM") && second.is_uptodate("SECOND") {
                return Ok(());
            }
            Err(format!(
                "node{primary} is {}; node{standby} is {}",
                first.describe(),
                second.describe()
            ))
        })
    }

    /// As [`Self::wait_until_uptodate`], and tells it.
    fn see_uptodate(&self, roles: Roles, limit: Duration) -> Result<()> {
        self.wait_until_uptodate(roles, limit)?;
        let Roles { primary, standby } = roles;
        self.screen.say(&format!(
            "node{primary} is PRIM, node{standby} is SECOND, both uptodate"
        ));
        Ok(())
    }

    fn wait_for(&self, number: u8, what: &str, holds: impl Fn(&Sight) -> bool) -> Result<()> {
        wait::until(&format!("node{number} {what}"), ROLES_LIMIT, || {
            let sight = self.watch.sight(number);
            if holds(&sight) {
                Ok(())
            } else {
                Err(format!("it is {}", sight.describe()))
            }
        })
    }

    /// The outage of an event, now that the part of the show that it began is over.
    fn told(&self, event: &'static str, moment: Instant) -> Outage {
        Outage {
            event,
            length: self.client.journal().outage(moment),
        }
    }

    /// Starts the pair once more, for people: it runs on after the show. Gives what to say.
    pub fn run_on(&self) -> Result<String> {
        self.screen.begin("the pair runs on");
        let one = self.switch_on(1)?;
        let two = self.switch_on(2)?;
        for node in [&one, &two] {
            operator::command(node, &["start"])?;
        }
        self.see_uptodate(Roles::FIRST, RESYNCHRONISATION_LIMIT)?;
        let doors = forward::open([&one, &two])?;
        one.keep()?;
        two.keep()?;
        Ok(doors)
    }
}
