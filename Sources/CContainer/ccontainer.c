// The inline functions of the headers need no object code; this file makes the module a target.
#include "ccontainer.h"
