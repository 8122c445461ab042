//! Selectors to profile: first match wins.

use super::ProfileId;

/// What is known of a request's route. Empty = unknown.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteQuery<'a> {
    /// `xds.route_name` (or Higress `route_name`).
    pub route: &'a [u8],
    /// `xds.virtual_host_name`.
    pub virtual_host: &'a [u8],
    /// `:authority`, without port.
    pub authority: &'a [u8],
    /// `:path`, with or without query.
    pub path: &'a [u8],
    /// `xds.cluster_name`, for Higress `_match_service_`.
    pub service: &'a [u8],
    /// Route metadata `weir.profile`.
    pub metadata_profile: &'a [u8],
}

/// The routing table.
#[derive(Clone, Debug, Default)]
pub struct Routes {}

impl Routes {
    /// The profile of a request.
    pub fn select(&self, _query: &RouteQuery<'_>) -> ProfileId {
        0
    }
    /// Does any selector need the host's route properties? (Each costs a host call.)
    pub fn needs_route_name(&self) -> bool {
        false
    }
}
