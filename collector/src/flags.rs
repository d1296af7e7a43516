//! The command line, in Go's form: `-name value`, `-name=value`, one dash or two.

use std::path::PathBuf;

/// Shown for `-help`.
pub(crate) const HELP: &str = "\
logbarn-collector: tails files, runs Promtail pipelines, pushes to Loki's API

  -config.file FILE          the configuration, in Promtail's form (required)
  -config.expand-env         replace ${NAME} and ${NAME:-default} by the environment's values
  -config.check-syntax       check the configuration, then end
  -client.url URL            push here; replaces the configuration's clients
  -positions.file FILE       keep positions here; replaces the configuration's place
  -dry-run                   read all files once and print their entries; send nothing
  -print-config-stderr       print the configuration as it was understood
  -log.level LEVEL           error, warn, info, debug or trace (info)
  -version                   print the version
  -help                      print this
";

/// What the command line says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) config_file: Option<PathBuf>,
    pub(crate) expand_env: bool,
    pub(crate) check_syntax: bool,
    pub(crate) client_url: Option<String>,
    pub(crate) positions_file: Option<PathBuf>,
    pub(crate) dry_run: bool,
    pub(crate) print_config: bool,
    pub(crate) log_level: Option<String>,
    pub(crate) version: bool,
    pub(crate) help: bool,
}

impl Flags {
    /// Reads the arguments behind the program's name.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut flags = Flags::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let Some(flag) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else {
                return Err(format!("unexpected argument {argument:?}"));
            };
            let (name, given) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            let switch = match name {
                "config.expand-env" => Some(&mut flags.expand_env),
                "config.check-syntax" | "check-syntax" => Some(&mut flags.check_syntax),
                "dry-run" => Some(&mut flags.dry_run),
                "print-config-stderr" => Some(&mut flags.print_config),
                "version" => Some(&mut flags.version),
                "help" | "h" => Some(&mut flags.help),
                _ => None,
            };
            if let Some(switch) = switch {
                *switch = match given.as_deref() {
                    None | Some("true" | "1") => true,
                    Some("false" | "0") => false,
                    Some(other) => return Err(format!("flag -{name} is true or false, not {other:?}")),
                };
                continue;
            }
            let mut value = || given.clone().or_else(|| arguments.next()).ok_or(format!("flag -{name} needs a value"));
            match name {
                "config.file" => flags.config_file = Some(value()?.into()),
                "client.url" => flags.client_url = Some(value()?),
                "positions.file" => flags.positions_file = Some(value()?.into()),
                "log.level" => flags.log_level = Some(value()?),
                _ => return Err(format!("unknown flag -{name}")),
            }
        }
        Ok(flags)
    }
}

/// Replaces `${NAME}` and `${NAME:-default}`; `$$` stands for a dollar sign.
pub(crate) fn expand_env(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(behind) = behind.strip_prefix('$') {
            out.push('$');
            rest = behind;
        } else if let Some(inside) = behind.strip_prefix('{') {
            let (name, behind) =
                inside.split_once('}').ok_or_else(|| format!("no }} behind ${{{}", first_line(inside)))?;
            let (name, default) = name.split_once(":-").unwrap_or((name, ""));
            out.push_str(&lookup(name).filter(|value| !value.is_empty()).unwrap_or_else(|| default.to_owned()));
            rest = behind;
        } else {
            out.push('$');
            rest = behind;
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_one_dash_or_two_and_values_in_two_forms() {
        let parse = |line: &str| Flags::parse(line.split_whitespace().map(str::to_owned));
        let want = Flags { config_file: Some("a.yaml".into()), expand_env: true, ..Flags::default() };
        assert_eq!(parse("-config.file=a.yaml -config.expand-env").as_ref(), Ok(&want));
        assert_eq!(parse("--config.expand-env=true --config.file a.yaml").as_ref(), Ok(&want));
        assert_eq!(parse("-nope").unwrap_err(), "unknown flag -nope");
        assert_eq!(parse("-config.file").unwrap_err(), "flag -config.file needs a value");
        assert_eq!(parse("-dry-run=maybe").unwrap_err(), "flag -dry-run is true or false, not \"maybe\"");
        assert_eq!(parse("a.yaml").unwrap_err(), "unexpected argument \"a.yaml\"");
    }

    #[test]
    fn the_environment_is_filled_in() {
        let expand = |text: &str| expand_env(text, |name| (name == "HOST").then(|| "me".to_owned()));
        assert_eq!(expand("a ${HOST} ${NONE} ${NONE:-b} $$ $x $").unwrap(), "a me  b $ $x $");
        assert!(expand("${HOST").is_err());
    }
}
