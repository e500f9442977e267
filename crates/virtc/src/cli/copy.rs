//! `virtc cp`.

use clap::Args;

use crate::verbs::cp::Place;

/// `virtc cp`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  virtc cp ./site web:/srv                           ./site becomes /srv/site where /srv is there, else /srv
  virtc cp ./site/. web:/srv                         what is in ./site goes into /srv
  virtc cp web/db:/var/log/db.log .
  virtc cp web:/srv - | tar -t                       a tar stream out, and likewise in
  virtc cp ./dir:with-colon web:/                    ./ or / before a name says that it is of this host

The container needs sh and tar. Files belong to the caller, or to root in the container, unless -a keeps their owners.
From a container come regular files, directories and links; set-user-ID bits do not, nor devices, nor symbolic links
that point out of what is copied, unless --all-links asks for those.")]
pub(crate) struct CpArgs {
    /// PATH, SANDBOX[/CONTAINER]:PATH, or - for a tar stream on standard input
    #[arg(value_name = "SRC")]
    pub(crate) from: Place,
    /// PATH, SANDBOX[/CONTAINER]:PATH, or - for a tar stream on standard output
    #[arg(value_name = "DST")]
    pub(crate) to: Place,
    /// Keep owner and group, by number
    #[arg(long, short = 'a')]
    pub(crate) archive: bool,
    /// When SRC is a symbolic link, copy what it points to
    #[arg(long, short = 'L')]
    pub(crate) follow_link: bool,
    /// Make symbolic links that point out of what is copied, too
    #[arg(long)]
    pub(crate) all_links: bool,
}
