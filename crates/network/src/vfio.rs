//! Devices on the host's PCI bus, as sysfs shows them: taken from their driver for `vfio-pci`, and given back.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{NetworkError, scan::PciDevice};

/// The driver that lets a process own a device.
pub const VFIO_DRIVER: &str = "vfio-pci";

/// The PCI bus of a sysfs.
#[derive(Debug, Clone)]
pub struct PciBus {
    root: PathBuf,
    kernel: Arc<dyn Kernel>,
}

/// What acts on that which is written to an attribute.
pub trait Kernel: fmt::Debug + Send + Sync {
    /// Takes `text`, written to the attribute at `path` in one go.
    ///
    /// # Errors
    /// The refusal.
    fn take(&self, path: &Path, text: &str) -> io::Result<()>;
}

/// The one that this runs on.
#[derive(Debug)]
struct Running;

impl Kernel for Running {
    fn take(&self, path: &Path, text: &str) -> io::Result<()> {
        // An attribute must be there: none is made.
        let mut file = fs::OpenOptions::new().write(true).open(path)?;
        io::Write::write_all(&mut file, text.as_bytes())
    }
}

impl PciBus {
    /// The host's, in `/sys`.
    #[must_use]
    pub fn host() -> Self {
        Self::of(Path::new("/sys"), Arc::new(Running))
    }

    /// That of a sysfs at `root`, behind whose attributes is `kernel`.
    #[must_use]
    pub fn of(root: &Path, kernel: Arc<dyn Kernel>) -> Self {
        Self { root: root.join("bus/pci"), kernel }
    }

    /// The driver that a device is bound to.
    #[must_use]
    pub fn driver(&self, address: &str) -> Option<String> {
        let target = fs::read_link(self.device(address).ok()?.join("driver")).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    /// The network link that a device shows in the namespace of this sysfs.
    #[must_use]
    pub fn link(&self, address: &str) -> Option<String> {
        let mut links = fs::read_dir(self.device(address).ok()?.join("net")).ok()?;
        links.next()?.ok()?.file_name().to_str().map(str::to_owned)
    }

    /// Takes a device from its driver for [`VFIO_DRIVER`]; idempotent. When that fails, the driver gets it back.
    ///
    /// # Errors
    /// [`NetworkError::Vfio`] with what to do, or the kernel's refusal.
    pub fn bind_vfio(&self, address: &str) -> Result<(), NetworkError> {
        let device = self.device(address)?;
        let before = self.driver(address);
        if before.as_deref() == Some(VFIO_DRIVER) {
            return Ok(());
        }
        let refuse = |problem| NetworkError::Vfio { address: address.to_owned(), problem };
        if !device.is_dir() {
            return Err(refuse("it is not on the bus: scan the namespace again"));
        }
        if !self.root.join("drivers").join(VFIO_DRIVER).is_dir() {
            return Err(refuse("the driver vfio-pci is missing: run `modprobe vfio-pci`"));
        }
        if !device.join("iommu_group").exists() {
            return Err(refuse(
                "no IOMMU watches over it: boot the host with intel_iommu=on or amd_iommu=on",
            ));
        }
        let bound = self.rebind(&device, address, VFIO_DRIVER).and_then(|()| {
            let taken = self.driver(address).as_deref() == Some(VFIO_DRIVER);
            taken.then_some(()).ok_or_else(|| refuse("vfio-pci did not take it: see the kernel's log"))
        });
        if bound.is_err() {
            let pci = PciDevice { address: address.to_owned(), driver: before };
            if let Err(error) = self.give_back(&pci) {
                tracing::warn!(address, %error, "a device is left without its driver");
            }
        }
        bound
    }

    /// Gives a device back to the driver that it had; idempotent. A device that is gone needs none.
    ///
    /// # Errors
    /// [`NetworkError::Io`], the kernel's refusal.
    pub fn give_back(&self, pci: &PciDevice) -> Result<(), NetworkError> {
        let device = self.device(&pci.address)?;
        let now = self.driver(&pci.address);
        let given = now.is_some() && now.as_deref() != Some(VFIO_DRIVER);
        if !device.is_dir() || given || pci.driver.as_deref() == Some(VFIO_DRIVER) {
            return Ok(());
        }
        self.rebind(&device, &pci.address, "")?;
        match &pci.driver {
            // A probe takes the first driver that knows the device, which may be another than the one before.
            Some(driver) if self.driver(&pci.address).is_none() => {
                self.write(&self.root.join("drivers").join(driver).join("bind"), &pci.address)
            }
            _ => Ok(()),
        }
    }

    /// Sets which driver alone may have a device (empty: any that knows it), takes it from the one it has, and lets it be
    /// found.
    fn rebind(&self, device: &Path, address: &str, driver: &str) -> Result<(), NetworkError> {
        self.write(&device.join("driver_override"), &format!("{driver}\n"))?;
        if self.driver(address).is_some() {
            self.write(&device.join("driver/unbind"), address)?;
        }
        self.write(&self.root.join("drivers_probe"), address)
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), NetworkError> {
        self.kernel.take(path, text).map_err(NetworkError::io("write to", path))
    }

    /// A device's directory; the address becomes a part of a path, so nothing else than an address will do.
    fn device(&self, address: &str) -> Result<PathBuf, NetworkError> {
        let hex =
            |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let fits = address.split_once('.').is_some_and(|(place, function)| {
            let parts: Vec<_> = place.split(':').collect();
            let place = matches!(parts[..], [domain, bus, slot] if (4..=8).contains(&domain.len())
                && hex(domain, domain.len()) && hex(bus, 2) && hex(slot, 2));
            place && hex(function, 1)
        });
        let refuse = || NetworkError::Vfio {
            address: address.to_owned(),
            problem: "it is no address on the PCI bus: give one like 0000:03:00.0",
        };
        fits.then(|| self.root.join("devices").join(address)).ok_or_else(refuse)
    }
}
