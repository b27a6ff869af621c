//! Managed services: which one a server runs at, and how settings are changed there, since ALTER SYSTEM is not for
//! their customers.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

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

/// The OID of the role that initdb makes: nobody can make another one, and no dump brings it along.
const FIRST_ROLE: u32 = 10;

impl Provider {
    /// The service that settings and roles show, if any. A role may be made by anybody, and stays after a move from a
    /// service to a server of one's own: so a role counts only where the service may leave no setting of its own, and only
    /// if it is the first one of its server.
    pub fn of(settings: &BTreeMap<String, Setting>, roles: &HashMap<u32, String>) -> Option<Self> {
        let has = |prefix: &str| {
            settings
                .range(prefix.to_owned()..)
                .next()
                .is_some_and(|(name, _)| name.starts_with(prefix))
        };
        let is_first = |name: &str| roles.get(&FIRST_ROLE).is_some_and(|role| role == name);
        let cases = [
            (
                has("apg_") || has("aurora_") || has("rds.enable_aurora"),
                Self::Aurora,
            ),
            (has("rds."), Self::Rds),
            (has("alloydb.") || has("google_columnar_engine."), Self::AlloyDb),
            (has("cloudsql."), Self::CloudSql),
            (has("azure."), Self::Azure),
            (has("neon."), Self::Neon),
            (has("supautils.") || is_first("supabase_admin"), Self::Supabase),
        ];
        cases
            .into_iter()
            .find_map(|(is_it, provider)| is_it.then_some(provider))
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

    /// How a setting of the server is changed there, as a sentence with the command.
    pub fn how_to_set(self, name: &str, value: &str, needs_restart: bool) -> String {
        let method = if needs_restart {
            "pending-reboot"
        } else {
            "immediate"
        };
        let parameter = format!("\"ParameterName={name},ParameterValue={value},ApplyMethod={method}\"");
        match self {
            Self::Rds => format!(
                "On Amazon RDS it is changed in the parameter group: aws rds modify-db-parameter-group \
                 --db-parameter-group-name GROUP --parameters {parameter}"
            ),
            Self::Aurora => format!(
                "On Amazon Aurora it is changed in the parameter group of the cluster: aws rds \
                 modify-db-cluster-parameter-group --db-cluster-parameter-group-name GROUP --parameters {parameter}"
            ),
            Self::CloudSql => format!(
                "On Cloud SQL it is a database flag; name all flags that are to stay, too: gcloud sql instances patch INSTANCE \
                 --database-flags={name}={value}"
            ),
            Self::AlloyDb => format!(
                "On AlloyDB it is a database flag; name all flags that are to stay, too: gcloud alloydb instances update INSTANCE \
                 --cluster=CLUSTER --region=REGION --database-flags={name}={value}"
            ),
            Self::Azure => format!(
                "On Azure it is a server parameter: az postgres flexible-server parameter set --resource-group GROUP \
                 --server-name SERVER --name {name} --value {value}"
            ),
            Self::Supabase => format!(
                "On Supabase it is changed with its command line: supabase --experimental --project-ref REF \
                 postgres-config update --config {name}={value}"
            ),
            Self::Neon => format!(
                "Neon does not let ALTER SYSTEM set {name}: set it to {value} for the database or the role that needs it \
                 (ALTER DATABASE … SET), or ask its support where the server alone can have it"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What settings and roles show, the first of which is that of initdb.
    fn recorded(settings: &[&str], roles: &[&str]) -> Option<Provider> {
        let settings = settings
            .iter()
            .map(|name| ((*name).to_owned(), Setting::default()))
            .collect();
        let roles = roles
            .iter()
            .enumerate()
            .map(|(number, name)| (FIRST_ROLE + number as u32, (*name).to_owned()))
            .collect();
        Provider::of(&settings, &roles)
    }

    #[test]
    fn each_service_is_recognised_by_what_it_leaves() {
        let cases: [(&[&str], &[&str], Provider); 9] = [
            (
                &["rds.extensions", "rds.force_ssl"],
                &["rdsadmin", "rds_superuser"],
                Provider::Rds,
            ),
            (
                &["apg_plan_mgmt.capture_plan_baselines", "rds.extensions"],
                &["rds_superuser"],
                Provider::Aurora,
            ),
            (
                &["aurora_compute_plan_id", "rds.extensions"],
                &["rds_superuser"],
                Provider::Aurora,
            ),
            (
                &["cloudsql.enable_pgaudit"],
                &["cloudsqladmin", "cloudsqlsuperuser"],
                Provider::CloudSql,
            ),
            (
                &["google_columnar_engine.enabled"],
                &["alloydbsuperuser"],
                Provider::AlloyDb,
            ),
            (
                &["azure.extensions"],
                &["azuresu", "azure_pg_admin"],
                Provider::Azure,
            ),
            (
                &["neon.timeline_id"],
                &["cloud_admin", "neon_superuser"],
                Provider::Neon,
            ),
            (
                &["supautils.privileged_role"],
                &["supabase_admin"],
                Provider::Supabase,
            ),
            (&[], &["supabase_admin", "postgres"], Provider::Supabase),
        ];
        for (settings, roles, provider) in cases {
            assert_eq!(recorded(settings, roles), Some(provider));
        }
        assert_eq!(
            recorded(&["autovacuum", "shared_buffers"], &["postgres", "app"]),
            None
        );
    }

    #[test]
    fn roles_that_a_move_left_behind_make_no_service() {
        for role in [
            "rds_superuser",
            "alloydbsuperuser",
            "cloudsqlsuperuser",
            "azure_pg_admin",
            "neon_superuser",
            "supabase_admin",
        ] {
            assert_eq!(recorded(&["shared_buffers"], &["postgres", role]), None, "{role}");
        }
    }
}
