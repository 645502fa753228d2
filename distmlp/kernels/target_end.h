/* The end of what target_begin.h began. */

#if (defined(__x86_64__) || defined(__i386__)) && WIDTH >= 32
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
