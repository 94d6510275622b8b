//! Decides whether a database is founded or joined, what its server says of itself, and who is put out of the cluster.

use std::collections::BTreeMap;

use super::member::{Database, Member, show};

/// What another member says of its database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has one.
    There,
    /// It has none.
    Absent,
    /// It says nothing, for this reason.
    Silent(String),
}

/// How a member comes to a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Founding {
    /// By this command of ovsdb-tool, which makes the file.
    Make(Vec<String>),
    /// Not yet, for this reason.
    Wait(String),
}

/// How a member that has no database comes to one, by what the others said, in their order.
pub fn found(
    member: &Member,
    database: Database,
    file: &str,
    answers: &[(&str, Answer)],
) -> Founding {
    let Some(own) = member.host() else {
        return Founding::Wait(format!(
            "this is member {} of {}: it has no place in the cluster",
            member.ordinal + 1,
            member.hosts.len()
        ));
    };
    let raft = |host: &str| format!("ssl:{host}:{}", database.peer_port());
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    if answers.iter().any(|(_, answer)| *answer == Answer::There) {
        let mut command: Vec<String> = words(&["join-cluster", file, database.name(), &raft(own)]);
        command.extend(member.others().map(raft));
        return Founding::Make(command);
    }
    if member.ordinal > 0 {
        let first = &member.hosts[0];
        return Founding::Wait(format!("no member has a database yet; {first} founds it"));
    }
    let silent: Vec<String> = answers
        .iter()
        .filter_map(|(host, answer)| match answer {
            Answer::Silent(why) => Some(format!("{host} ({why})")),
            Answer::There | Answer::Absent => None,
        })
        .collect();
    if silent.is_empty() {
        let own = raft(own);
        return Founding::Make(words(&["create-cluster", file, database.schema(), &own]));
    }
    Founding::Wait(format!(
        "these members may have a database, and do not say: {}",
        silent.join(", ")
    ))
}

/// What a server says of its cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether it is a member by now.
    pub is_member: bool,
    /// Whether it leads.
    pub leads: bool,
    /// Whether it knows who leads.
    pub knows_leader: bool,
    /// All members.
    pub servers: Vec<Server>,
}

/// A member, as another one sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The short form of its name.
    pub id: String,
    /// Where it is.
    pub address: String,
    /// How long ago it was heard of, in ms; 0 for who says so, nothing for one that never was.
    pub heard_ms: Option<u64>,
}

impl Status {
    /// Why the server cannot be used, if so.
    pub fn trouble(&self) -> Option<&'static str> {
        match (self.is_member, self.knows_leader) {
            (false, _) => Some("it has not joined the cluster yet"),
            (true, false) => Some("the cluster has no leader: are most of its members there?"),
            (true, true) => None,
        }
    }
}

/// Reads the answer to `cluster/status`.
pub fn status(text: &str) -> Status {
    let mut status = Status::default();
    let (head, servers) = text.split_once("\nServers:\n").unwrap_or((text, ""));
    for line in head.lines() {
        match line.split_once(": ") {
            Some(("Status", word)) => status.is_member = word == "cluster member",
            Some(("Role", word)) => status.leads = word == "leader",
            Some(("Leader", word)) => status.knows_leader = word != "unknown",
            _ => {}
        }
    }
    status.servers = servers.lines().filter_map(server).collect();
    status
}

/// `    9a4d (9a4d at ssl:host:6644) (self) next_index=7 match_index=6 last msg 143 ms ago`.
fn server(line: &str) -> Option<Server> {
    let (id, rest) = line.trim().split_once(' ')?;
    let (_, rest) = rest.split_once(" at ")?;
    let (address, rest) = rest.split_once(')')?;
    let heard_ms = if rest.contains("(self)") {
        Some(0)
    } else {
        let said = rest.split_once("last msg ").map(|(_, said)| said);
        said.and_then(|said| said.split_once(' ')?.0.parse().ok())
    };
    Some(Server {
        id: id.to_owned(),
        address: address.to_owned(),
        heard_ms,
    })
}

/// For how long the old one of two members at one address must have been silent.
const SILENT_MS: u64 = 3000;

/// Who is put out: of members at the same address, all but the one that was heard of last. A member that lost its volume
/// has joined again there, and who it was before never comes back.
pub fn gone(status: &Status) -> Vec<String> {
    if !status.leads {
        return Vec::new();
    }
    let mut by_address: BTreeMap<&str, Vec<&Server>> = BTreeMap::new();
    for server in &status.servers {
        by_address.entry(&server.address).or_default().push(server);
    }
    let silence = |server: &Server| server.heard_ms.unwrap_or(u64::MAX);
    let mut gone = Vec::new();
    for servers in by_address.values() {
        let Some(living) = servers.iter().min_by_key(|server| silence(server)) else {
            continue;
        };
        // While none of them is heard of, nobody knows which one lives.
        if silence(living) >= SILENT_MS {
            continue;
        }
        let dead = servers.iter().filter(|server| silence(server) >= SILENT_MS);
        gone.extend(dead.map(|server| server.id.clone()));
    }
    gone
}

/// The arguments of a database's server.
pub fn server_arguments(member: &Member, database: Database) -> Vec<String> {
    let mut arguments = vec![
        show(&member.file(database)),
        format!("--remote=punix:{}", show(&member.socket(database))),
        format!(
            "--unixctl={}",
            show(&member.control_socket(database.word()))
        ),
        "-vsyslog:off".to_owned(),
        "-vconsole:info".to_owned(),
    ];
    let remotes = database.remotes();
    arguments.extend(remotes.iter().map(|remote| format!("--remote={remote}")));
    arguments.extend(member.tls_arguments());
    arguments
}

/// The arguments of ovn-northd.
pub fn northd_arguments(member: &Member, program: &str) -> Vec<String> {
    let at = |port: u16| {
        let servers = member.hosts.iter().map(|host| format!("ssl:{host}:{port}"));
        servers.collect::<Vec<_>>().join(",")
    };
    let mut arguments = vec![
        format!("--ovnnb-db={}", at(Database::Northbound.port())),
        format!("--ovnsb-db={}", at(super::member::NORTHD_PORT)),
        format!("--unixctl={}", show(&member.control_socket(program))),
        "-vsyslog:off".to_owned(),
        "-vconsole:info".to_owned(),
    ];
    arguments.extend(member.tls_arguments());
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(ordinal: usize) -> Member {
        Member {
            folder: "/var/lib/ovn".into(),
            run_folder: "/run/ovn".into(),
            certificates: "/etc/ovn".into(),
            hosts: ["a", "b", "c"].map(str::to_owned).to_vec(),
            ordinal,
        }
    }

    fn founded(ordinal: usize, answers: [Answer; 2]) -> Founding {
        let member = member(ordinal);
        let answers: Vec<_> = member.others().zip(answers).collect();
        found(&member, Database::Southbound, "new", &answers)
    }

    fn silent() -> Answer {
        Answer::Silent("no route".to_owned())
    }

    fn made(founding: Founding) -> String {
        match founding {
            Founding::Make(words) => words.join(" "),
            Founding::Wait(why) => panic!("{why}"),
        }
    }

    #[test]
    fn the_first_founds_a_cluster_when_all_others_say_that_they_have_none() {
        assert_eq!(
            made(founded(0, [Answer::Absent, Answer::Absent])),
            "create-cluster new /usr/share/ovn/ovn-sb.ovsschema ssl:a:6644"
        );
        // Alone, there is nobody to ask.
        let alone = Member {
            hosts: vec!["a".to_owned()],
            ..member(0)
        };
        let alone = found(&alone, Database::Northbound, "new", &[]);
        assert!(made(alone).ends_with("/ovn-nb.ovsschema ssl:a:6643"));
        for answers in [[Answer::Absent, silent()], [silent(), silent()]] {
            let Founding::Wait(why) = founded(0, answers) else {
                panic!("who is silent may have one");
            };
            assert!(why.contains("c (no route)"), "{why}");
        }
    }

    #[test]
    fn whoever_hears_of_a_database_joins_it_and_nobody_but_the_first_founds_one() {
        for ordinal in 0..3 {
            let joined = made(founded(ordinal, [silent(), Answer::There]));
            assert!(joined.starts_with("join-cluster new OVN_Southbound ssl:"));
        }
        let joined = made(founded(1, [Answer::There, Answer::Absent]));
        assert!(joined.ends_with("OVN_Southbound ssl:b:6644 ssl:a:6644 ssl:c:6644"));
        for ordinal in [1, 2, 3] {
            let waits = founded(ordinal, [Answer::Absent, Answer::Absent]);
            assert!(matches!(waits, Founding::Wait(_)), "{ordinal}");
        }
    }

    const LEADER: &str = "9a4d
Name: OVN_Southbound
Cluster ID: cf04 (cf045ec2-aa8a-4d11-86ca-375af1a96fc7)
Server ID: 9a4d (9a4d2dbd-6c7d-4f49-a4b0-0d424a3a1cef)
Address: ssl:b:6644
Status: cluster member
Role: leader
Term: 2
Leader: self
Vote: self

Election timer: 1000
Connections: ->0000 ->19cb <-19cb <-d47e
Servers:
    d47e (d47e at ssl:a:6644) next_index=7 match_index=6 last msg 143 ms ago
    9a4d (9a4d at ssl:b:6644) (self) next_index=5 match_index=6
    2ca7 (2ca7 at ssl:a:6644) next_index=7 match_index=0 last msg 6456 ms ago
    19cb (19cb at ssl:c:6644) next_index=7 match_index=6 last msg 90143 ms ago
";

    #[test]
    fn a_server_says_how_it_stands() {
        let leader = status(LEADER);
        assert!(leader.leads && leader.is_member && leader.trouble().is_none());
        let heard: Vec<_> = leader
            .servers
            .iter()
            .map(|server| server.heard_ms)
            .collect();
        assert_eq!(heard, [Some(143), Some(0), Some(6456), Some(90143)]);
        let joining = "Status: joining cluster\nRole: follower\nLeader: unknown\n";
        assert!(status(joining).trouble().unwrap().contains("not joined"));
        let lost = "Status: cluster member\nRole: follower\nLeader: unknown\n";
        assert!(status(lost).trouble().unwrap().contains("no leader"));
        assert!(status("").trouble().is_some());
    }

    #[test]
    fn only_a_leader_puts_out_and_only_who_was_replaced() {
        // c may come back: nobody else is there in its place.
        assert_eq!(gone(&status(LEADER)), ["2ca7"]);
        assert!(gone(&status(&LEADER.replace("Role: leader", "Role: follower"))).is_empty());
        let silent = LEADER.replace("last msg 143 ms ago", "last msg 9143 ms ago");
        assert!(gone(&status(&silent)).is_empty(), "nobody knows who lives");
        let fresh = LEADER.replace("last msg 6456 ms ago", "last msg 456 ms ago");
        assert!(gone(&status(&fresh)).is_empty());
        let never = LEADER.replace(" last msg 6456 ms ago", "");
        assert_eq!(gone(&status(&never)), ["2ca7"]);
    }
}
