//! A file system that is another one in all but what it answers to an open: there the guest is told to keep the file's pages
//! when the [`History`] allows it.

use std::{
    ffi::CStr,
    fs::File,
    io,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, SystemTime},
};

use virtiofsd::{
    filesystem::{
        Context, Entry, Extensions, FileSystem, FsOptions, GetxattrReply, ListxattrReply, OpenOptions,
        SerializableFileSystem, SetattrValid, SetxattrFlags, ZeroCopyReader, ZeroCopyWriter,
    },
    fuse,
};

use crate::history::{History, Version};

pub(crate) struct CloseToOpen<F> {
    files: F,
    history: History,
}

impl<F> CloseToOpen<F> {
    pub(crate) fn new(files: F) -> Self {
        Self { files, history: History::default() }
    }
}

/// Methods that are those of the file system underneath.
macro_rules! same {
    ($(fn $name:ident $(<$kind:ident: $bound:path>)? ($($word:ident: $type:ty),*) $(-> $answer:ty)?;)*) => {$(
        fn $name $(<$kind: $bound>)? (&self, $($word: $type),*) $(-> $answer)? {
            self.files.$name($($word),*)
        }
    )*};
}

impl<F: FileSystem> FileSystem for CloseToOpen<F>
where
    F::Inode: Copy,
    F::Handle: Copy,
{
    type Inode = F::Inode;
    type Handle = F::Handle;
    type DirIter = F::DirIter;

    fn open(
        &self,
        ctx: Context,
        inode: F::Inode,
        kill_priv: bool,
        flags: u32,
    ) -> io::Result<(Option<F::Handle>, OpenOptions)> {
        let (handle, mut answer) = self.files.open(ctx, inode, kill_priv, flags)?;
        let Some(handle) = handle else { return Ok((handle, answer)) };
        let now = SystemTime::now();
        match self.files.getattr(ctx, inode, Some(handle)) {
            Ok((attr, _)) => {
                if self.history.opened(inode.into(), handle.into(), Version::of(&attr), now) {
                    answer |= OpenOptions::KEEP_CACHE;
                }
            }
            Err(error) => {
                log::debug!("an open file cannot be looked at: {error}");
                self.history.forgotten(inode.into());
            }
        }
        Ok((Some(handle), answer))
    }

    fn read<W: ZeroCopyWriter>(
        &self,
        ctx: Context,
        inode: F::Inode,
        handle: F::Handle,
        w: W,
        size: u32,
        offset: u64,
        lock_owner: Option<u64>,
        flags: u32,
    ) -> io::Result<usize> {
        self.history.used(inode.into(), handle.into());
        self.files.read(ctx, inode, handle, w, size, offset, lock_owner, flags)
    }

    fn release(
        &self,
        ctx: Context,
        inode: F::Inode,
        flags: u32,
        handle: F::Handle,
        flush: bool,
        flock_release: bool,
        lock_owner: Option<u64>,
    ) -> io::Result<()> {
        self.history.used(inode.into(), handle.into());
        self.files.release(ctx, inode, flags, handle, flush, flock_release, lock_owner)
    }

    fn forget(&self, ctx: Context, inode: F::Inode, count: u64) {
        self.history.forgotten(inode.into());
        self.files.forget(ctx, inode, count);
    }

    fn batch_forget(&self, ctx: Context, requests: Vec<(F::Inode, u64)>) {
        for (inode, _) in &requests {
            self.history.forgotten((*inode).into());
        }
        self.files.batch_forget(ctx, requests);
    }

    same! {
        fn init(capable: FsOptions) -> io::Result<FsOptions>;
        fn destroy();
        fn lookup(ctx: Context, parent: F::Inode, name: &CStr) -> io::Result<Entry>;
        fn getattr(ctx: Context, inode: F::Inode, handle: Option<F::Handle>) -> io::Result<(fuse::Attr, Duration)>;
        fn setattr(
            ctx: Context, inode: F::Inode, attr: fuse::SetattrIn, handle: Option<F::Handle>, valid: SetattrValid
        ) -> io::Result<(fuse::Attr, Duration)>;
        fn readlink(ctx: Context, inode: F::Inode) -> io::Result<Vec<u8>>;
        fn symlink(
            ctx: Context, linkname: &CStr, parent: F::Inode, name: &CStr, extensions: Extensions
        ) -> io::Result<Entry>;
        fn mknod(
            ctx: Context, inode: F::Inode, name: &CStr, mode: u32, rdev: u32, umask: u32, extensions: Extensions
        ) -> io::Result<Entry>;
        fn mkdir(
            ctx: Context, parent: F::Inode, name: &CStr, mode: u32, umask: u32, extensions: Extensions
        ) -> io::Result<Entry>;
        fn unlink(ctx: Context, parent: F::Inode, name: &CStr) -> io::Result<()>;
        fn rmdir(ctx: Context, parent: F::Inode, name: &CStr) -> io::Result<()>;
        fn rename(
            ctx: Context, olddir: F::Inode, oldname: &CStr, newdir: F::Inode, newname: &CStr, flags: u32
        ) -> io::Result<()>;
        fn link(ctx: Context, inode: F::Inode, newparent: F::Inode, newname: &CStr) -> io::Result<Entry>;
        fn create(
            ctx: Context, parent: F::Inode, name: &CStr, mode: u32, kill_priv: bool, flags: u32, umask: u32,
            extensions: Extensions
        ) -> io::Result<(Entry, Option<F::Handle>, OpenOptions)>;
        fn write<R: ZeroCopyReader>(
            ctx: Context, inode: F::Inode, handle: F::Handle, r: R, size: u32, offset: u64,
            lock_owner: Option<u64>, delayed_write: bool, kill_priv: bool, flags: u32
        ) -> io::Result<usize>;
        fn flush(ctx: Context, inode: F::Inode, handle: F::Handle, lock_owner: u64) -> io::Result<()>;
        fn fsync(ctx: Context, inode: F::Inode, datasync: bool, handle: F::Handle) -> io::Result<()>;
        fn fallocate(
            ctx: Context, inode: F::Inode, handle: F::Handle, mode: u32, offset: u64, length: u64
        ) -> io::Result<()>;
        fn statfs(ctx: Context, inode: F::Inode) -> io::Result<libc::statvfs64>;
        fn setxattr(
            ctx: Context, inode: F::Inode, name: &CStr, value: &[u8], flags: u32, extra_flags: SetxattrFlags
        ) -> io::Result<()>;
        fn getxattr(ctx: Context, inode: F::Inode, name: &CStr, size: u32) -> io::Result<GetxattrReply>;
        fn listxattr(ctx: Context, inode: F::Inode, size: u32) -> io::Result<ListxattrReply>;
        fn removexattr(ctx: Context, inode: F::Inode, name: &CStr) -> io::Result<()>;
        fn opendir(ctx: Context, inode: F::Inode, flags: u32) -> io::Result<(Option<F::Handle>, OpenOptions)>;
        fn readdir(
            ctx: Context, inode: F::Inode, handle: F::Handle, size: u32, offset: u64
        ) -> io::Result<F::DirIter>;
        fn fsyncdir(ctx: Context, inode: F::Inode, datasync: bool, handle: F::Handle) -> io::Result<()>;
        fn releasedir(ctx: Context, inode: F::Inode, flags: u32, handle: F::Handle) -> io::Result<()>;
        fn access(ctx: Context, inode: F::Inode, mask: u32) -> io::Result<()>;
        fn lseek(ctx: Context, inode: F::Inode, handle: F::Handle, offset: u64, whence: u32) -> io::Result<u64>;
        fn copyfilerange(
            ctx: Context, inode_in: F::Inode, handle_in: F::Handle, offset_in: u64, inode_out: F::Inode,
            handle_out: F::Handle, offset_out: u64, len: u64, flags: u64
        ) -> io::Result<usize>;
        fn syncfs(ctx: Context, inode: F::Inode) -> io::Result<()>;
        fn getlk() -> io::Result<()>;
        fn setlk() -> io::Result<()>;
        fn setlkw() -> io::Result<()>;
        fn ioctl() -> io::Result<()>;
        fn bmap() -> io::Result<()>;
        fn poll() -> io::Result<()>;
        fn notify_reply() -> io::Result<()>;
        fn tmpfile() -> io::Result<(Entry, Option<F::Handle>, OpenOptions)>;
    }
}

/// For a backend's type; this program migrates nothing.
impl<F: SerializableFileSystem> SerializableFileSystem for CloseToOpen<F> {
    fn prepare_serialization(&self, cancel: Arc<AtomicBool>) {
        self.files.prepare_serialization(cancel);
    }

    fn serialize(&self, state_pipe: File) -> io::Result<()> {
        self.files.serialize(state_pipe)
    }

    fn deserialize_and_apply(&self, state_pipe: File) -> io::Result<()> {
        self.files.deserialize_and_apply(state_pipe)
    }
}
