/* A trained network, LAYERS, written by distmlp from the v with the SHA-256
   V_SHA256.
CALLED

   The functions may be called from several threads at once; they allocate nothing, and use STACK bytes of stack.  The
   link needs -lm.  Where NAME_check() gives 0, all numbers are the bits of `distmlp predict`. */

#ifndef UPPER_H
#define UPPER_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UPPER_INPUTS INPUT_COUNT
#define UPPER_OUTPUTS OUTPUT_COUNT
#define UPPER_V_SHA256 "V_SHA256"

/* The outputs a, rows x UPPER_OUTPUTS, of raw inputs x, rows x UPPER_INPUTS, each row after row.
   x is of INPUT_REAL, a of OUTPUT_REAL. */
void NAME_predict(size_t rows, const INPUT_REAL *x, OUTPUT_REAL *a);
@classes
/* The most likely class of each row, counted from 0. */
void NAME_classes(size_t rows, const INPUT_REAL *x, int *classes);
@end
@named
/* What a class is called, in UTF-8; 0 for a number that none has. */
const char *NAME_class_name(int number);
@end
/* How many outputs of a few known rows differ from those of distmlp: 0 where this build computes as it should. */
int NAME_check(void);

#ifdef __cplusplus
}
#endif

#endif
