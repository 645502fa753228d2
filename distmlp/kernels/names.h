/* Names that differ between the two types of numbers, so that a unit can include its kernels twice.

   `#define real float` before a header makes NAME(load) the plain function load_float.  A header gives each of its
   names a line such as `#define v_load NAME(v_load)`, which reads the same the second time. */

#define NAME_OF_BOTH(name, type) name##_##type
#define NAME_OF(name, type) NAME_OF_BOTH(name, type)
#define NAME(name) NAME_OF(name, real)

/* Inlined even at -O0, since a vector wider than the baseline's registers must not be an argument of a call. */
#define INLINE static inline __attribute__((always_inline))
