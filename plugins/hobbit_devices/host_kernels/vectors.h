/* What a register holds: compilers take wider vectors apart badly, at a tenth of the speed. */

#ifndef HOBBIT_VECTORS_H
#define HOBBIT_VECTORS_H

#include <stdint.h>

#if defined(__AVX512F__)
enum { LANES = 16, REGISTERS = 32 };
#elif defined(__AVX2__)
enum { LANES = 8, REGISTERS = 16 };
#else
enum { LANES = 4, REGISTERS = 16 };
#endif
typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));

#endif
