//! What the guest's kernel is told.

use super::{Stream, kernel_params};
use crate::config::SandboxConfig;

fn told(config: &SandboxConfig) -> Vec<String> {
    kernel_params(config, &Stream::Mock, None).iter().map(ToString::to_string).collect()
}

#[test]
fn the_agent_is_told_the_size_of_containers_pipes_where_one_is_asked_for() {
    let mut config = SandboxConfig::default();
    assert_eq!(told(&config), <[&str; 0]>::default());
    config.agent_config.container_pipe_size = 1 << 20;
    assert_eq!(told(&config), ["agent.container_pipe_size=1048576"]);
}
