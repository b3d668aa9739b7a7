#ifndef CCONTAINER_JSON_H
#define CCONTAINER_JSON_H

#endif
