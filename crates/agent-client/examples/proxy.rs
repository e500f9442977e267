//! A proxy process, the smallest program that is one: started by `ProxyProcess::launch`, with a sandbox's directory as
//! working directory and a listening socket as standard input.

fn main() -> Result<(), virtcontainers_agent_client::proxy::ProxyError> {
    virtcontainers_agent_client::proxy::run_inherited()
}
