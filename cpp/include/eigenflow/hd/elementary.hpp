// SPDX-License-Identifier: BSD-3-Clause
// The maths library's functions, under one name for host and device. They are calls: a loop with
// them does not vectorise, and host and device may differ in the last digit.
#pragma once

#include <eigenflow/hd/config.hpp>

EF_HD_BEGIN

EF_HD double infinity() { return bit_cast<double>(uint64(0x7ff0000000000000)); }
EF_HD bool is_finite(double x) { return abs(x) < infinity(); }

EF_HD double exp(double x) { return EF_MATH(exp)(x); }

EF_HD double log(double x) { return EF_MATH(log)(x); }

EF_HD double log1p(double x) { return EF_MATH(log1p)(x); }

EF_HD double sinh(double x) { return EF_MATH(sinh)(x); }

EF_HD double cosh(double x) { return EF_MATH(cosh)(x); }

EF_HD double asinh(double x) { return EF_MATH(asinh)(x); }

EF_HD double hypot(double x, double y) { return EF_MATH(hypot)(x, y); }

EF_HD_END
