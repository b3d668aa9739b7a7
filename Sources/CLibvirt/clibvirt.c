#include "clibvirt.h"
