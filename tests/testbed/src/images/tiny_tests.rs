//! Table tests of the tiny guest's two parsers, run by the same busybox that the guest has (Debian's busybox-static).

use std::io::Write;
use std::process::{Command, Stdio};

const METADATA: &str = include_str!("tiny/metadata.awk");
const USERDATA: &str = include_str!("tiny/userdata.awk");

fn awk(program: &str, want: &str, input: &str) -> String {
    let mut awk = Command::new("/bin/busybox")
        .args([
            "timeout",
            "5",
            "/bin/busybox",
            "awk",
            "-v",
            &format!("want={want}"),
            program,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("these tests need /bin/busybox, from Debian's busybox-static");
    awk.stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = awk.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{want} of {input:?}: {}",
        output.status
    );
    String::from_utf8(output.stdout).unwrap()
}

fn check(program: &str, want: &str, input: &str, expected: &[&str]) {
    let found = awk(program, want, input);
    assert_eq!(
        found.lines().collect::<Vec<_>>(),
        expected,
        "{want} of {input:?}"
    );
}

#[test]
fn scalars_of_metadata() {
    for (input, expected) in [
        ("instance-id: i-1\nlocal-hostname: web\n", &["web"][..]),
        ("local-hostname: \"we\\\"b\"\n", &["we\"b"]),
        ("local-hostname: 'web' # why\n", &["web"]),
        ("local-hostname: web   # why\r\n", &["web"]),
        ("'local-hostname' : web", &["web"]),
        ("other:\n  local-hostname: nested\n", &[]),
        ("my-local-hostname: web\n", &[]),
        ("{\"local-hostname\":\"web\"}", &["web"]),
        (
            "{\n  \"instance-id\": \"i\",\n  \"local-hostname\" : \"web\"\n}\n",
            &["web"],
        ),
        ("", &[]),
    ] {
        check(METADATA, "local-hostname", input, expected);
    }
}

#[test]
fn keys_of_metadata() {
    let two = ["ssh-ed25519 AAA a@b", "ecdsa-sha2-nistp256 BBB c d"];
    let input_of = |value: &str| {
        format!("instance-id: i\npublic-keys:{value}\nlocal-hostname: ssh-rsa no key\n")
    };
    for value in [
        "\n- ssh-ed25519 AAA a@b\n- ecdsa-sha2-nistp256 BBB c d",
        "\n  - \"ssh-ed25519 AAA a@b\"\n  - 'ecdsa-sha2-nistp256 BBB c d'",
        "\n  one: ssh-ed25519 AAA a@b\n  two: ecdsa-sha2-nistp256 BBB c d",
        " [\"ssh-ed25519 AAA a@b\", \"ecdsa-sha2-nistp256 BBB c d\"]",
    ] {
        check(METADATA, "public-keys", &input_of(value), &two);
    }
    check(
        METADATA,
        "public-keys",
        &input_of(" ssh-rsa AAA"),
        &["ssh-rsa AAA"],
    );
    for value in ["", " []", " {}", " nonsense"] {
        check(METADATA, "public-keys", &input_of(value), &[]);
    }
}

#[test]
fn keys_of_json_metadata() {
    let input_of = |value: &str| format!("{{\"public-keys\": {value}, \"x\": \"ssh-rsa no key\"}}");
    for (value, expected) in [
        (
            "[\"ssh-rsa A a\", \"ssh-rsa B b\"]",
            &["ssh-rsa A a", "ssh-rsa B b"][..],
        ),
        (
            "{\"k\": \"ssh-rsa A a]}<b>\", \"l\": \"ssh-rsa B\"}",
            &["ssh-rsa A a]}<b>", "ssh-rsa B"],
        ),
        (
            "{\"0\": {\"openssh-key\": \"ssh-rsa A\"}, \"1\": {\"openssh-key\": \"ssh-rsa B\"}}",
            &["ssh-rsa A", "ssh-rsa B"],
        ),
        ("\"ssh-rsa A \\\"q\\\"\"", &["ssh-rsa A \"q\""]),
        ("[]", &[]),
        ("null", &[]),
    ] {
        check(METADATA, "public-keys", &input_of(value), expected);
    }
}

#[test]
fn the_subset_of_cloud_config() {
    let input = "\
#cloud-config
hostname: \"web\"
packages: [a]
runcmd:
  # a remark
  - echo plain 'quoted' > /run/x
  - [ ls, \"-l\", 'a b' ]
  - \"echo \\\"double\\\"\"
  - 'it''s'
users:
  - not a command
";
    check(USERDATA, "hostname", input, &["web"]);
    check(
        USERDATA,
        "runcmd",
        input,
        &[
            "echo plain 'quoted' > /run/x",
            "'ls' '-l' 'a b'",
            "echo \"double\"",
            "it's",
        ],
    );
    check(
        USERDATA,
        "runcmd",
        "#cloud-config\nruncmd:\n- at the margin\nx: y\n- no\n",
        &["at the margin"],
    );
    check(USERDATA, "hostname", "#cloud-config\nfqdn: web\n", &[]);
}
