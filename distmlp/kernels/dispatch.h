/* The units that were compiled, and the one that is chosen. */

struct unit {
    const char *width;                     /* as DISTMLP_WIDTH has it */
    const char *name;                      /* for people */
    int (*runs)(void);                     /* whether this CPU can run it */
    const struct kernels *const *kernels;  /* float's, double's */
};

/* The units, the widest first; NULL after the last. */
const struct unit *unit_at(int number);
const struct unit *unit_chosen(void);

/* Chooses the unit of a width, or, with NULL, the widest that this CPU has.  Returns 0 where there is none. */
int choose_unit(const char *width);
