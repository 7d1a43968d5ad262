//! The national clouds: where each one's login, Management Activity API and Graph are.
//!
//! Invariant: the three always belong to the same cloud; tokens of one are worth nothing in another.
//! Sources: Microsoft, "Office 365 Management Activity API reference" (roots); "National cloud deployments" of Microsoft
//! Graph (roots); "National clouds" of the identity platform (login hosts). The Management Activity API of the China
//! cloud is not in the reference; its root is the one that clients use.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::http::{Error, ErrorKind};

/// The audience of the Office 365 Management Activity API.
pub const OFFICE365_MANAGEMENT: &str = "office365-management";
/// The audience of Microsoft Graph.
pub const GRAPH: &str = "microsoft-graph";

/// A cloud that a tenant can live in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Cloud {
    /// The worldwide cloud.
    #[default]
    Global,
    /// US government community cloud: its own Management Activity API, the worldwide login and Graph.
    Gcc,
    /// US government community cloud, high (L4).
    GccHigh,
    /// US Department of Defense (L5).
    Dod,
    /// Operated by 21Vianet in China.
    China,
}

/// A name that is no cloud's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("There is no cloud {0:?}. Use one of: global, gcc, gcc-high, dod, china.")]
pub struct UnknownCloud(pub String);

impl Cloud {
    /// Every cloud.
    pub const ALL: [Self; 5] = [Self::Global, Self::Gcc, Self::GccHigh, Self::Dod, Self::China];

    /// The name in configuration files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Gcc => "gcc",
            Self::GccHigh => "gcc-high",
            Self::Dod => "dod",
            Self::China => "china",
        }
    }

    fn roots(self) -> Roots {
        match self {
            Self::Global => Roots {
                login: "https://login.microsoftonline.com",
                management: "https://manage.office.com",
                graph: "https://graph.microsoft.com",
            },
            Self::Gcc => Roots {
                login: "https://login.microsoftonline.com",
                management: "https://manage-gcc.office.com",
                graph: "https://graph.microsoft.com",
            },
            Self::GccHigh => Roots {
                login: "https://login.microsoftonline.us",
                management: "https://manage.office365.us",
                graph: "https://graph.microsoft.us",
            },
            Self::Dod => Roots {
                login: "https://login.microsoftonline.us",
                management: "https://manage.protection.apps.mil",
                graph: "https://dod-graph.microsoft.us",
            },
            Self::China => Roots {
                login: "https://login.partner.microsoftonline.cn",
                management: "https://manage.office365.cn",
                graph: "https://microsoftgraph.chinacloudapi.cn",
            },
        }
    }
}

struct Roots {
    login: &'static str,
    management: &'static str,
    graph: &'static str,
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Cloud {
    type Err = UnknownCloud;

    /// Takes the names that people write; case, blanks, dots, `-` and `_` don't count.
    fn from_str(text: &str) -> Result<Self, UnknownCloud> {
        let plain: String = text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
        Ok(match plain.as_str() {
            "global" | "worldwide" | "public" | "commercial" | "enterprise" | "azurecloud" => Self::Global,
            "gcc" | "gccmoderate" | "usgovgcc" => Self::Gcc,
            "gcchigh" | "gcch" | "usgov" | "usgovernment" | "usgovgcchigh" | "l4" => Self::GccHigh,
            "dod" | "usgovdod" | "usdod" | "l5" => Self::Dod,
            "china" | "21vianet" | "gallatin" | "azurechinacloud" => Self::China,
            _ => return Err(UnknownCloud(text.to_owned())),
        })
    }
}

impl TryFrom<String> for Cloud {
    type Error = UnknownCloud;

    fn try_from(text: String) -> Result<Self, UnknownCloud> {
        text.parse()
    }
}

impl From<Cloud> for String {
    fn from(cloud: Cloud) -> Self {
        cloud.as_str().to_owned()
    }
}

/// One API as an audience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is: scheme, host and port.
    pub root: Url,
    /// What a token for it is asked for.
    pub scope: String,
}

/// Where everything is, for one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// The cloud that these are of, for messages.
    pub cloud: Cloud,
    /// Where tokens are issued.
    pub login: Url,
    /// The APIs, by the name of their audience.
    pub audiences: BTreeMap<String, Endpoint>,
}

impl Endpoints {
    /// The endpoints of a cloud.
    pub fn new(cloud: Cloud) -> Self {
        let roots = cloud.roots();
        // The roots are constants, and a test parses each of them.
        let parse = |root: &str| Url::parse(root).expect("a constant URL");
        let endpoint = |root: &str| Endpoint { root: parse(root), scope: format!("{root}/.default") };
        Self {
            cloud,
            login: parse(roots.login),
            audiences: BTreeMap::from([
                (OFFICE365_MANAGEMENT.to_owned(), endpoint(roots.management)),
                (GRAPH.to_owned(), endpoint(roots.graph)),
            ]),
        }
    }

    /// Puts an API elsewhere, such as at a simulated one on the loopback interface. The scope stays the cloud's.
    pub fn set_root(&mut self, audience: &str, root: Url) -> Result<(), Error> {
        let known = self.audiences.keys().cloned().collect::<Vec<_>>().join(", ");
        let endpoint = self.audiences.get_mut(audience).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidConfig,
                "audience",
                format!("There is no audience {audience:?}. Use one of: {known}."),
            )
        })?;
        endpoint.root = root;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cloud_has_its_own_hosts() {
        for (cloud, login, management, graph) in [
            (Cloud::Global, "login.microsoftonline.com", "manage.office.com", "graph.microsoft.com"),
            (Cloud::Gcc, "login.microsoftonline.com", "manage-gcc.office.com", "graph.microsoft.com"),
            (Cloud::GccHigh, "login.microsoftonline.us", "manage.office365.us", "graph.microsoft.us"),
            (Cloud::Dod, "login.microsoftonline.us", "manage.protection.apps.mil", "dod-graph.microsoft.us"),
            (
                Cloud::China,
                "login.partner.microsoftonline.cn",
                "manage.office365.cn",
                "microsoftgraph.chinacloudapi.cn",
            ),
        ] {
            let endpoints = Endpoints::new(cloud);
            assert_eq!(endpoints.login.as_str(), format!("https://{login}/"));
            for (audience, host) in [(OFFICE365_MANAGEMENT, management), (GRAPH, graph)] {
                let endpoint = &endpoints.audiences[audience];
                assert_eq!(endpoint.root.as_str(), format!("https://{host}/"));
                assert_eq!(endpoint.scope, format!("https://{host}/.default"));
            }
            assert_eq!(endpoints.audiences.len(), 2);
        }
    }

    #[test]
    fn names_are_read_as_people_write_them() {
        for (text, cloud) in [
            ("Global", Cloud::Global),
            ("commercial", Cloud::Global),
            ("GCC", Cloud::Gcc),
            ("gcc_high", Cloud::GccHigh),
            ("GCC High", Cloud::GccHigh),
            ("GCC-H", Cloud::GccHigh),
            ("DoD", Cloud::Dod),
            ("21Vianet", Cloud::China),
        ] {
            assert_eq!(text.parse(), Ok(cloud), "{text}");
        }
        for cloud in Cloud::ALL {
            assert_eq!(cloud.as_str().parse(), Ok(cloud));
            let json = serde_json::to_string(&cloud).unwrap();
            assert_eq!(json, format!("\"{cloud}\""));
            assert_eq!(serde_json::from_str::<Cloud>(&json).unwrap(), cloud);
        }
        let error = serde_json::from_str::<Cloud>("\"mars\"").unwrap_err().to_string();
        assert!(error.contains("gcc-high"), "{error}");
    }

    #[test]
    fn a_root_can_be_put_elsewhere_and_its_scope_stays() {
        let mut endpoints = Endpoints::new(Cloud::Dod);
        endpoints.set_root(GRAPH, "http://127.0.0.1:8080".parse().unwrap()).unwrap();
        assert_eq!(endpoints.audiences[GRAPH].scope, "https://dod-graph.microsoft.us/.default");
        assert!(endpoints.audiences.values().any(|endpoint| endpoint.root.port() == Some(8080)));
        assert!(endpoints.set_root("mail", "http://127.0.0.1:1".parse().unwrap()).unwrap_err().message.contains(GRAPH));
    }
}
