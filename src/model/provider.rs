//! Managed services: which one a server runs at, and how settings are changed and extensions created there, since ALTER
//! SYSTEM is not for their customers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::remedy::quote_literal;
use super::snapshot::Setting;

/// A managed service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Provider {
    Rds,
    Aurora,
    CloudSql,
    AlloyDb,
    Azure,
    Supabase,
    Neon,
}

/// What a service leaves on its servers.
struct Signs {
    provider: Provider,
    /// Beginnings of settings that its own modules define. One of them decides: nobody else has these modules, and what
    /// somebody made up (`ALTER DATABASE … SET rds.x`) is not shown by pg_settings.
    settings: &'static [&'static str],
    /// The role that its initdb makes: it has OID 10, and no dump brings it along.
    first_role: &'static str,
    /// Roles that it makes besides. They come to any server with a dump of roles, and stay after a move to one's own.
    roles: &'static [&'static str],
    /// Beginnings of settings whose modules anybody may load, or that come with software of the service that anybody may run,
    /// as AlloyDB Omni and Neon's own: with the first role they decide.
    open_settings: &'static [&'static str],
    /// Extensions whose files only its own servers have: a dump can name them, but not make them available. So not aws_s3
    /// and aws_commons, which were rebuilt for tests; not supabase_vault, pg_graphql and neon, which anybody may build; not
    /// google_columnar_engine and google_ml_integration, which AlloyDB Omni brings along.
    extensions: &'static [&'static str],
}

/// Aurora before RDS, whose settings and roles it has, too.
static SIGNS: [Signs; 7] = [
    Signs {
        provider: Provider::Aurora,
        settings: &["apg_", "aurora_", "rds.enable_aurora"],
        first_role: "rdsadmin",
        // those of RDS do not tell them apart
        roles: &[],
        open_settings: &[],
        extensions: AURORA_EXTENSIONS,
    },
    Signs {
        provider: Provider::Rds,
        settings: &["rds."],
        first_role: "rdsadmin",
        roles: &["rds_superuser"],
        open_settings: &[],
        extensions: &["rds_tools"],
    },
    Signs {
        provider: Provider::AlloyDb,
        settings: &[],
        first_role: "alloydbadmin",
        roles: &["alloydbsuperuser"],
        open_settings: &["alloydb.", "google_columnar_engine."],
        extensions: &[],
    },
    Signs {
        provider: Provider::CloudSql,
        settings: &["cloudsql."],
        first_role: "cloudsqladmin",
        roles: &["cloudsqlsuperuser"],
        open_settings: &[],
        extensions: &["google_vacuum_mgmt"],
    },
    Signs {
        provider: Provider::Azure,
        settings: &["azure."],
        first_role: "azuresu",
        roles: &["azure_pg_admin"],
        open_settings: &[],
        extensions: &["azure", "azure_ai", "azure_storage", "pgaadauth"],
    },
    Signs {
        provider: Provider::Neon,
        settings: &[],
        first_role: "cloud_admin",
        roles: &["neon_superuser"],
        open_settings: &["neon."],
        extensions: &[],
    },
    Signs {
        provider: Provider::Supabase,
        settings: &[],
        first_role: "supabase_admin",
        roles: &["supabase_auth_admin", "supabase_storage_admin"],
        open_settings: &["supautils."],
        extensions: &[],
    },
];

const AURORA_EXTENSIONS: &[&str] = &["apg_plan_mgmt", "aurora_stat_utils"];

/// The OID of the role that initdb makes: nobody can make another one, and no dump brings it along.
const FIRST_ROLE: u32 = 10;

/// What a server shows of where it runs.
struct Shown<'a> {
    settings: &'a BTreeMap<String, Setting>,
    roles: &'a HashMap<u32, String>,
    extensions: &'a BTreeSet<String>,
}

impl Shown<'_> {
    fn setting(&self, beginnings: &[&str]) -> bool {
        beginnings.iter().any(|beginning| {
            let mut from = self.settings.range((*beginning).to_owned()..);
            from.next().is_some_and(|(name, _)| name.starts_with(*beginning))
        })
    }

    fn role(&self, names: &[&str]) -> bool {
        self.roles.values().any(|role| names.contains(&role.as_str()))
    }

    fn extension(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.extensions.contains(*name))
    }

    /// Two signs that do not come to a server together by a dump, for where no setting decides.
    fn two_of(&self, signs: &Signs) -> bool {
        let first = self.roles.get(&FIRST_ROLE);
        let is_first = first.is_some_and(|role| role == signs.first_role);
        let beside = self.role(signs.roles) || self.setting(signs.open_settings);
        match self.extension(signs.extensions) {
            true => is_first || beside,
            false => is_first && beside,
        }
    }
}

impl Provider {
    /// The service that settings, roles and the extensions that are available show, if any.
    ///
    /// Supabase gives its image away, and a server of one's own that runs it has the same settings, roles and extensions. How
    /// it is documented to be started differs: with settings on the command line, which Supabase itself does not use. AlloyDB Omni
    /// and Neon's own software differ from their services by the first role, where whoever set them up gave it a name of their
    /// own; where not, only who looks as a superuser is told the way of a server of one's own.
    pub fn of(
        settings: &BTreeMap<String, Setting>,
        roles: &HashMap<u32, String>,
        extensions: &BTreeSet<String>,
    ) -> Option<Self> {
        let shown = Shown {
            settings,
            roles,
            extensions,
        };
        let decided = SIGNS.iter().find(|signs| shown.setting(signs.settings));
        let signs = decided.or_else(|| SIGNS.iter().find(|signs| shown.two_of(signs)))?;
        let is_given = |setting: &Setting| setting.source == "command line";
        match signs.provider {
            Self::Rds if shown.extension(AURORA_EXTENSIONS) => Some(Self::Aurora),
            Self::Supabase if settings.values().any(is_given) => None,
            provider => Some(provider),
        }
    }

    /// Its name as its customers know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rds => "Amazon RDS",
            Self::Aurora => "Amazon Aurora",
            Self::CloudSql => "Cloud SQL",
            Self::AlloyDb => "AlloyDB",
            Self::Azure => "Azure Database for PostgreSQL",
            Self::Supabase => "Supabase",
            Self::Neon => "Neon",
        }
    }

    /// How a setting of the server is changed there, as a sentence with the command. `context` is that of pg_settings.
    pub fn how_to_set(self, name: &str, value: &str, context: &str) -> String {
        let service = self.name();
        match self {
            Self::CloudSql | Self::AlloyDb if name == LIBRARIES => format!(
                "{service} loads the libraries of the extensions that it offers, some of them by a flag of their own; {name} \
                 itself is not for its customers"
            ),
            Self::Rds | Self::Aurora | Self::CloudSql | Self::AlloyDb => {
                self.one_command(&[(name, value, context)])
            }
            Self::Azure => format!(
                "On Azure it is a server parameter: az postgres flexible-server parameter set --resource-group GROUP \
                 --server-name SERVER --name {name} --value {}",
                shell(value)
            ),
            Self::Supabase if SUPABASE_SETTINGS.contains(&name) => format!(
                "On Supabase it is changed with its command line: supabase --experimental --project-ref REF \
                 postgres-config update --config {} (a server of your own that runs Supabase's image is changed where it is \
                 started)",
                shell(&format!("{name}={value}"))
            ),
            Self::Supabase | Self::Neon if context == "user" => format!(
                "On {service} it is set for the database or the role that needs it: ALTER DATABASE … SET {name} = {}",
                quote_literal(value)
            ),
            Self::Supabase | Self::Neon => format!(
                "{service} keeps {name} of the whole server to itself: ask its support to set it to {value}"
            ),
        }
    }

    /// The same of several settings, by name, value and context: where one command takes all of them it is given once, since
    /// each may replace what the one before set.
    pub fn how_to_set_all(self, changes: &[(&str, &str, &str)]) -> Vec<String> {
        let takes_several = matches!(self, Self::Rds | Self::Aurora | Self::CloudSql | Self::AlloyDb);
        if takes_several && changes.iter().all(|(name, ..)| *name != LIBRARIES) {
            return vec![self.one_command(changes)];
        }
        let one = |(name, value, context): &(&str, &str, &str)| self.how_to_set(name, value, context);
        changes.iter().map(one).collect()
    }

    /// The command of a service that takes several settings at once.
    fn one_command(self, changes: &[(&str, &str, &str)]) -> String {
        let service = self.name();
        let (they_are, flags) = match changes {
            [_] => ("it is", "it is a database flag"),
            _ => ("they are", "they are database flags, set together"),
        };
        if let Self::Rds | Self::Aurora = self {
            let parameter = |(name, value, context): &(&str, &str, &str)| aws_parameter(name, value, context);
            let parameters: Vec<String> = changes.iter().map(parameter).collect();
            let (group, command) = match self {
                Self::Rds => (
                    "the parameter group",
                    "modify-db-parameter-group --db-parameter-group-name",
                ),
                _ => (
                    "the parameter group of the cluster",
                    "modify-db-cluster-parameter-group --db-cluster-parameter-group-name",
                ),
            };
            return format!(
                "On {service} {they_are} changed in {group} (one of your own: the default one cannot be changed): aws rds \
                 {command} GROUP --parameters {}",
                parameters.join(" ")
            );
        }
        let assignment = |(name, value, _): &(&str, &str, &str)| format!("{name}={value}");
        let assignments: Vec<String> = changes.iter().map(assignment).collect();
        let command = match self {
            Self::AlloyDb => "gcloud alloydb instances update INSTANCE --cluster=CLUSTER --region=REGION",
            _ => "gcloud sql instances patch INSTANCE",
        };
        format!(
            "On {service} {flags}; name all flags that are to stay, too: {command} {}",
            shell(&format!("--database-flags={}", assignments.join(",")))
        )
    }

    /// What comes before CREATE EXTENSION there, and who may run it, as a sentence.
    pub fn how_to_create(self, extension: &str) -> String {
        let service = self.name();
        match self {
            Self::Rds | Self::Aurora => format!(
                "On {service} a member of rds_superuser creates {extension}; where rds.allowed_extensions is set in the \
                 parameter group, it must name {extension}, too."
            ),
            Self::CloudSql => format!("On {service} a member of cloudsqlsuperuser creates {extension}."),
            Self::AlloyDb => format!("On {service} a member of alloydbsuperuser creates {extension}."),
            Self::Azure => format!(
                "On Azure {extension} must be in the server parameter azure.extensions before it can be created; name all that \
                 are to stay, too: az postgres flexible-server parameter set --resource-group GROUP --server-name SERVER \
                 --name azure.extensions --value {}",
                shell(&format!("ALLOWED,{extension}"))
            ),
            Self::Supabase => format!(
                "On Supabase {extension} is switched on in the dashboard (Database, Extensions), or created as postgres."
            ),
            Self::Neon => format!(
                "On Neon a role that was made in its console, and so is a member of neon_superuser, creates {extension}."
            ),
        }
    }

    /// Every service, in the order in which they are told.
    pub const ALL: [Self; 7] = [
        Self::Rds,
        Self::Aurora,
        Self::CloudSql,
        Self::AlloyDb,
        Self::Azure,
        Self::Supabase,
        Self::Neon,
    ];
}

const LIBRARIES: &str = "shared_preload_libraries";

/// What Supabase's command line takes, of what rules advise. Source: its page "Customizing Postgres configs".
const SUPABASE_SETTINGS: [&str; 6] = [
    "effective_cache_size",
    "maintenance_work_mem",
    "max_connections",
    "max_slot_wal_keep_size",
    "shared_buffers",
    "work_mem",
];

/// One parameter as the command line of AWS takes it: a value with commas stands in quotes.
fn aws_parameter(name: &str, value: &str, context: &str) -> String {
    let method = match context {
        "postmaster" => "pending-reboot",
        _ => "immediate",
    };
    let value = match value.contains([',', '"', '\'', '\\', ' ']) {
        true => format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")),
        false => value.to_owned(),
    };
    shell(&format!(
        "ParameterName={name},ParameterValue={value},ApplyMethod={method}"
    ))
}

/// A word of a command. What a server gave may hold anything, and is pasted into a shell.
fn shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,=%+@".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What settings, roles (the first of which is that of initdb) and available extensions show.
    fn recorded(settings: &[&str], roles: &[&str], extensions: &[&str]) -> Option<Provider> {
        let settings = settings
            .iter()
            .map(|name| ((*name).to_owned(), Setting::default()))
            .collect();
        let roles = roles
            .iter()
            .enumerate()
            .map(|(number, name)| (FIRST_ROLE + number as u32, (*name).to_owned()))
            .collect();
        let extensions = extensions.iter().map(|name| (*name).to_owned()).collect();
        Provider::of(&settings, &roles, &extensions)
    }

    #[test]
    fn a_setting_of_its_own_decides() {
        let cases = [
            ("rds.extensions", Provider::Rds),
            ("apg_plan_mgmt.capture_plan_baselines", Provider::Aurora),
            ("aurora_compute_plan_id", Provider::Aurora),
            ("cloudsql.enable_pgaudit", Provider::CloudSql),
            ("azure.extensions", Provider::Azure),
        ];
        for (setting, provider) in cases {
            assert_eq!(
                recorded(&[setting, "rds"], &["a"], &[]),
                Some(provider),
                "{setting}"
            );
        }
        assert_eq!(
            recorded(&["rds.extensions"], &[], &["apg_plan_mgmt"]),
            Some(Provider::Aurora)
        );
        assert_eq!(
            recorded(&["supautils.x"], &["postgres"], &[]),
            None,
            "anybody may load it"
        );
    }

    #[test]
    fn software_that_anybody_may_run_takes_the_first_role_of_the_service() {
        let cases = [
            ("alloydb.iam_authentication", "alloydbadmin", Provider::AlloyDb),
            (
                "google_columnar_engine.enabled",
                "alloydbadmin",
                Provider::AlloyDb,
            ),
            ("neon.timeline_id", "cloud_admin", Provider::Neon),
        ];
        let brought = ["google_columnar_engine", "google_ml_integration", "neon"];
        for (setting, first, provider) in cases {
            let of_service = recorded(&[setting], &[first, "app"], &brought);
            assert_eq!(of_service, Some(provider), "{setting}");
            let beside = [
                "postgres",
                first,
                "alloydbsuperuser",
                "neon_superuser",
                "cloudsqlsuperuser",
            ];
            assert_eq!(recorded(&[setting], &beside, &brought), None, "{setting}");
        }
    }

    #[test]
    fn without_a_setting_it_takes_two_signs_and_one_that_no_dump_brings() {
        for signs in &SIGNS {
            let first = signs.first_role;
            let beside = signs.roles.first().copied().unwrap_or("rds_superuser");
            let whole = recorded(&[], &[first, beside], signs.extensions);
            assert_eq!(whole, Some(signs.provider));
            assert_eq!(recorded(&[], &[first, "app"], &[]), None, "{first} alone");
            let dumped = recorded(&[], &["postgres", beside, first], &[]);
            assert_eq!(dumped, None, "a dump of the roles of {:?}", signs.provider);
            for extension in signs.extensions {
                let alone = recorded(&[], &["postgres"], &[*extension]);
                assert_eq!(alone, None, "{extension} alone");
            }
        }
        let dumped = [
            "postgres",
            "rds_superuser",
            "supabase_admin",
            "supabase_auth_admin",
        ];
        let built = ["aws_s3", "aws_commons", "supabase_vault", "neon"];
        assert_eq!(recorded(&["supautils.x"], &dumped, &built), None);
        assert_eq!(recorded(&[], &dumped, &["rds_tools"]), Some(Provider::Rds));
    }

    #[test]
    fn what_decides_is_asked_for() {
        let (settings, extensions) = (
            include_str!("../../queries/settings.sql"),
            include_str!("../../queries/available_extensions.sql"),
        );
        for signs in &SIGNS {
            for setting in signs.settings.iter().chain(signs.open_settings) {
                let module = setting.split(['.', '_']).next().unwrap_or_default();
                assert!(settings.contains(module), "{setting}");
            }
            for extension in signs.extensions {
                assert!(extensions.contains(&format!("'{extension}'")), "{extension}");
            }
        }
    }

    #[test]
    fn what_a_server_gave_cannot_leave_its_word() {
        let hostile = "a,$(reboot)'; b";
        let rds = Provider::Rds.how_to_set(LIBRARIES, hostile, "postmaster");
        assert!(
            rds.ends_with(
                r#"'ParameterName=shared_preload_libraries,ParameterValue="a,$(reboot)'\''; b",ApplyMethod=pending-reboot'"#
            ),
            "{rds}"
        );
        let azure = Provider::Azure.how_to_set(LIBRARIES, hostile, "postmaster");
        assert!(azure.ends_with(r"--value 'a,$(reboot)'\''; b'"), "{azure}");
        let neon = Provider::Neon.how_to_set("work_mem", "4'; DROP", "user");
        assert!(neon.ends_with("SET work_mem = '4''; DROP'"), "{neon}");
    }

    #[test]
    fn a_service_that_replaces_the_whole_list_is_given_all_of_it_at_once() {
        let changes = [
            ("log_lock_waits", "on", "superuser"),
            ("log_temp_files", "10240", "superuser"),
        ];
        for service in [Provider::CloudSql, Provider::AlloyDb] {
            let told = service.how_to_set_all(&changes);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(
                told[0].ends_with(" --database-flags=log_lock_waits=on,log_temp_files=10240"),
                "{told:?}"
            );
        }
        let told = Provider::Aurora.how_to_set_all(&changes);
        let words = "--parameters ParameterName=log_lock_waits,ParameterValue=on,ApplyMethod=immediate \
                     ParameterName=log_temp_files,ParameterValue=10240,ApplyMethod=immediate";
        assert!(told.len() == 1 && told[0].ends_with(words), "{told:?}");
        assert_eq!(Provider::Azure.how_to_set_all(&changes).len(), 2);
        for service in Provider::ALL {
            let one = service.how_to_set_all(&changes[..1]);
            assert_eq!(one, [service.how_to_set("log_lock_waits", "on", "superuser")]);
        }
    }

    #[test]
    fn a_service_says_only_what_it_lets_be_changed() {
        let supabase = |name, context| Provider::Supabase.how_to_set(name, "1", context);
        assert!(supabase("shared_buffers", "postmaster").contains("--config shared_buffers=1"));
        assert!(supabase("random_page_cost", "user").contains("ALTER DATABASE"));
        assert!(supabase("log_checkpoints", "sighup").contains("support"));
        let gcloud = Provider::CloudSql.how_to_set(LIBRARIES, "a,b", "postmaster");
        assert!(!gcloud.contains("--database-flags"), "{gcloud}");
        assert!(
            Provider::Azure
                .how_to_create("hypopg")
                .ends_with("--value ALLOWED,hypopg")
        );
    }
}
