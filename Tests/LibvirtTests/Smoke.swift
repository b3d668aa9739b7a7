@testable import Libvirt
