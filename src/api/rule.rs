//! Rules that fields of several kinds share, each with the words that say what is wrong. The API server checks them.
//!
//! A rule must not accept what the type of its field cannot parse: an object that the API server takes and no
//! controller can read is seen by nobody.

use kube::core::Rule;

use super::value::Size;

/// A size between two bounds. What is no number has to be a whole number with a unit: Kubernetes' own quantities also
/// know `1.5Gi`, `1e3` and `100m`.
pub(super) fn size(field: &str, example: &str, least: Size, most: Size) -> Rule {
    let (least_bytes, most_bytes) = (least.as_bytes(), most.as_bytes());
    Rule::new(format!(
        "type(self) == int ? self >= {least_bytes} && self <= {most_bytes} : \
         self.matches(r'^[0-9]{{1,15}}(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$') && \
         quantity(self).compareTo(quantity('{least}')) >= 0 && quantity(self).compareTo(quantity('{most}')) <= 0"
    ))
    .message(&*format!(
        "{field} must be a whole number with a unit, such as {example}, between {least} and {most}"
    ))
}

/// The name of an object; `what` says which.
pub(super) fn name(what: &str) -> Rule {
    Rule::new("self.matches(r'^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')").message(&*format!(
        "{what}: lower-case letters, digits, hyphens and dots"
    ))
}

/// A duration as Go writes it, from `0s` to `most`.
pub(super) fn duration(field: &str, most: &str, examples: &str) -> Rule {
    Rule::new(format!(
        r"self != '' && self.matches(r'^([0-9]{{1,5}}h)?([0-9]{{1,7}}m)?([0-9]{{1,9}}(\.[0-9]{{1,9}})?s)?([0-9]{{1,9}}(\.[0-9]{{1,9}})?(ms|us|µs|ns))?$') && duration(self) <= duration('{most}')"
    ))
    .message(&*format!(
        "{field} must be a duration between 0s and {most}, such as {examples}"
    ))
}

/// An IP address; `what` says whose.
pub(super) fn ip(what: &str) -> Rule {
    Rule::new("isIP(self)").message(&*format!(
        "{what} must be an IP address, such as 10.0.0.5 or 2001:db8::5"
    ))
}

/// An IP prefix without host bits; `what` says whose.
pub(super) fn cidr(what: &str) -> Rule {
    Rule::new("isCIDR(self) && cidr(self).masked() == cidr(self)").message(&*format!(
        "{what} must be a prefix without bits behind it, such as 10.0.0.0/24 or 2001:db8::/64"
    ))
}

/// The Ethernet address of an interface; `what` says whose.
pub(super) fn mac(what: &str) -> Rule {
    Rule::new("self.matches(r'^[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}$') && self != '00:00:00:00:00:00'")
        .message(&*format!("{what} must be the MAC address of an interface: six pairs of hexadecimal digits with colons, the first one even, such as 02:00:5e:10:00:01"))
}

/// A reference: `name`, or `project/name`; `what` says of what.
pub(super) fn reference(what: &str) -> Rule {
    Rule::new("self.matches(r'^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/)?[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$')")
        .message(&*format!("{what}, or project/name for one that is shared: lower-case letters, digits, hyphens and dots"))
}
