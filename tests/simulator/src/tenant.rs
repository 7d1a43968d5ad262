//! The tenant that is simulated: Contoso, its people, machines, applications and places.
//!
//! Invariant: names are Microsoft's sample company, addresses come from the documentation ranges (RFC 5737, RFC 3849), ids are invented.

/// Directory (tenant) id.
pub const TENANT_ID: &str = "5b0c6e4a-9d1f-4c83-a7e2-3f6d18b0c954";
/// Initial domain of the tenant; `contoso.com` names the same tenant.
pub const DOMAIN: &str = "contoso.onmicrosoft.com";
/// Second verified domain of the tenant.
pub const CUSTOM_DOMAIN: &str = "contoso.com";
/// Application (client) id of the registered collector.
pub const CLIENT_ID: &str = "c1f7d2e8-40a6-4b95-8e3d-72a9b6f0d41e";
/// The collector's client secret: a canary. It must never appear in an output, a log or a file of the collector.
pub const CLIENT_SECRET: &str = "SIM~canary-7f3Q.never-print-9wK2";

pub(crate) struct Person {
    pub(crate) name: &'static str,
    pub(crate) alias: &'static str,
    pub(crate) id: &'static str,
    pub(crate) puid: &'static str,
    pub(crate) sid: &'static str,
}

macro_rules! people {
    ($($name:literal, $alias:literal, $id:literal, $puid:literal, $sid:literal;)*) => {
        &[$(Person { name: $name, alias: $alias, id: $id, puid: $puid, sid: $sid }),*]
    };
}

pub(crate) const PEOPLE: &[Person] = people! {
    "Megan Bowen", "meganb", "0f2d6a71-33c8-4e0b-9c51-8a4e17d2b960", "10032002A41C77E0", "S-1-5-21-3102984417-1120465873-2480163390-4410211";
    "Alex Wilber", "alexw", "7c1e9b54-6a0f-4d27-8e93-f5b2046dc1a8", "10032002A41C7812", "S-1-5-21-3102984417-1120465873-2480163390-4410218";
    "Adele Vance", "adelev", "d84b3c26-91e7-4f5a-b60d-2e7fa915c384", "10032002A41C7834", "S-1-5-21-3102984417-1120465873-2480163390-4410225";
    "Diego Siciliani", "diegos", "a6f07d93-2c4b-48e1-95da-0b3c8e71f642", "10032002A41C7851", "S-1-5-21-3102984417-1120465873-2480163390-4410232";
    "Zoë Müller", "zoe.mueller", "3e9a51c7-d082-4b6f-a1f4-6c5d2b80e937", "10032002A41C786D", "S-1-5-21-3102984417-1120465873-2480163390-4410240";
    "José Álvarez", "jose.alvarez", "b25d80fe-4a93-4c17-8d6e-91f3c7a054eb", "10032002A41C7899", "S-1-5-21-3102984417-1120465873-2480163390-4410247";
    "Nestor Wilke", "nestorw", "62c4f1a8-7e3d-4905-b8f2-d01a95e6c73b", "10032002A41C78B4", "S-1-5-21-3102984417-1120465873-2480163390-4410256";
    "Lidia Holloway", "lidiah", "f91b6e02-58ad-4d3c-92c7-4a8e70d5b16f", "10032002A41C78D0", "S-1-5-21-3102984417-1120465873-2480163390-4410261";
    "佐藤 美咲", "misaki.sato", "48d7a3e5-0b9c-4f81-a6d2-e3c15f7b8290", "10032002A41C78F3", "S-1-5-21-3102984417-1120465873-2480163390-4410274";
    "Grady Archie", "gradya", "c07e52b9-f6d1-4a38-87e4-1d9b3c60a5f2", "10032002A41C7911", "S-1-5-21-3102984417-1120465873-2480163390-4410280";
    "Isaiah Langer", "isaiahl", "95f3d8c1-2e7a-4b60-9d14-8c6e0fb2a75d", "10032002A41C792C", "S-1-5-21-3102984417-1120465873-2480163390-4410291";
    "MOD Administrator", "admin", "1a8c4e70-b5f9-4d62-83a7-c9e06d1f5b34", "10032002A41C7705", "S-1-5-21-3102984417-1120465873-2480163390-4410101";
};

pub(crate) struct Place {
    pub(crate) city: &'static str,
    pub(crate) state: &'static str,
    pub(crate) country: &'static str,
    pub(crate) latitude: &'static str,
    pub(crate) longitude: &'static str,
}

macro_rules! places {
    ($($city:literal, $state:literal, $country:literal, $latitude:literal, $longitude:literal;)*) => {
        &[$(Place { city: $city, state: $state, country: $country, latitude: $latitude, longitude: $longitude }),*]
    };
}

pub(crate) const PLACES: &[Place] = places! {
    "Seattle", "Washington", "US", "47.60357", "-122.32945";
    "Zürich", "Zürich", "CH", "47.36667", "8.55";
    "São Paulo", "Sao Paulo", "BR", "-23.5475", "-46.63611";
    "Dublin", "Dublin", "IE", "53.344", "-6.26719";
    "Osaka", "Osaka", "JP", "34.69374", "135.50218";
    "Amsterdam", "Noord-Holland", "NL", "52.374", "4.88969";
};

/// Application name and id. First-party ids are Microsoft's published ones, the rest are invented.
pub(crate) const APPS: &[(&str, &str)] = &[
    ("Office 365 Exchange Online", "00000002-0000-0ff1-ce00-000000000000"),
    ("Office 365 SharePoint Online", "00000003-0000-0ff1-ce00-000000000000"),
    ("Microsoft Teams", "1fec8e78-bce4-4aaf-ab1b-5451cc387264"),
    ("Microsoft Office", "d3590ed6-52b3-4102-aeff-aad2292ab01c"),
    ("Azure Portal", "c44b4083-3bb0-49c1-b47d-974e53cbdf3c"),
    ("Graph Explorer", "de8bc8b5-d9f9-48b1-a8ad-b748da725064"),
    ("Contoso Expenses", "8d1f6b3a-50c7-4e92-b4d8-7a2c9e05f163"),
];

/// Applications of our own that sign in by themselves: name, application id, service principal id.
pub(crate) const WORKLOADS: &[(&str, &str, &str)] = &[
    ("contoso-backup-agent", "27b9e0d4-8f5c-4a61-93d7-c6e1f80a2b5d", "e4061c9b-72d8-4f3a-a5b1-09d3e7f6c842"),
    ("contoso-hr-sync", "b83f7a12-d96e-4c05-8a4b-5e20d7c1f936", "5d92a6f0-1e7b-4483-b0c9-f8e34a61d725"),
    ("Contoso CI deploy", "640d5ce8-3ba1-4972-af06-d8b7e92c15f4", "91c7f3be-a054-4d28-86e9-2b5f0d8c6a17"),
    ("vm-billing-westeurope", "fa2e8b91-67c4-4d50-b3e8-107d9c5f4a26", "08b6d4e3-c5f1-4a97-92d0-7e1c6b8fa354"),
];

pub(crate) const MACHINES: &[&str] =
    &["CONTOSO-LT-0412", "CONTOSO-LT-0897", "DESKTOP-Q7MSE12", "SRV-FIN-02", "MacBook-Pro-de-Jose", "CTS-VDI-118"];

pub(crate) const BROWSERS: &[(&str, &str, &str)] = &[
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
        "Edge 142.0.0",
        "Windows10",
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
        "Chrome 141.0.0",
        "MacOs",
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
        "Mobile Safari",
        "Ios 18.6",
    ),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0", "Firefox 144.0", "Linux"),
];

pub(crate) const FILES: &[(&str, &str)] = &[
    ("Q3 forecast.xlsx", "xlsx"),
    ("Résumé des ventes.docx", "docx"),
    ("Invoice 20418.pdf", "pdf"),
    ("Board deck – draft.pptx", "pptx"),
    ("payroll_2026.csv", "csv"),
    ("org chart.vsdx", "vsdx"),
];

pub(crate) const SITES: &[&str] = &["Finance", "ProjectNorthwind", "HumanResources", "Vertrieb"];

pub(crate) const SUBJECTS: &[&str] =
    &["RE: Quarterly numbers", "Urgent: wire transfer", "Invitation: Übergabe am Freitag", "Fwd: Contract", "Lunch?"];
