/* The three products, as Python calls them. */

#include "glue.h"

PyMethodDef product_functions[] = {
    {NULL, NULL, 0, NULL},
};
