// SPDX-License-Identifier: BSD-3-Clause
// Normal deviates from counters: entry (i, j) of a random matrix depends on (key, i, j) only. Box
// and Muller's transform (1958) turns two uniforms into two independent normals, and columns 2p and
// 2p + 1 share a pair: single precision spends one word an entry, double precision two. The tails
// end where the smallest uniform does, at 6.8 (float) and 8.6 (double) standard deviations.
#pragma once

#include <eigenflow/hd/config.hpp>
#include <eigenflow/hd/philox.hpp>
#include <eigenflow/hd/trig.hpp>

EF_HD_BEGIN

struct split_float {
  float fraction;
  float exponent;
};
struct split_double {
  double fraction;
  double exponent;
};

// x = fraction 2^exponent with fraction in [sqrt(1/2), sqrt(2)); x positive and normal.
EF_HD split_float split(float x) {
  constexpr uint32 root = 0x3f3504f3u;
  const uint32 bits = bit_cast<uint32>(x);
  const int32 exponent = (static_cast<int32>(bits) - static_cast<int32>(root)) >> 23;
  const uint32 fraction = bits - (static_cast<uint32>(exponent) << 23);
  return {bit_cast<float>(fraction), static_cast<float>(exponent)};
}

EF_HD split_double split(double x) {
  constexpr uint64 root = 0x3fe6a09e667f3bcdull;
  const uint64 bits = bit_cast<uint64>(x);
  const int64 exponent = (static_cast<int64>(bits) - static_cast<int64>(root)) >> 52;
  const uint64 fraction = bits - (static_cast<uint64>(exponent) << 52);
  return {bit_cast<double>(fraction), static_cast<double>(exponent)};
}

// The logarithm of a positive normal number, within 2 ulp: 2 atanh(s) with s = (f - 1) / (f + 1),
// |s| < 0.172, so that the series' next term is below 1e-18.
template <class T> EF_HD T log_normal_range(T x) {
  const auto parts = split(x);
  const T s = (parts.fraction - T(1)) / (parts.fraction + T(1));
  const T z = s * s;
  T tail = T(1.0 / 23);
  tail = fma(tail, z, T(1.0 / 21));
  tail = fma(tail, z, T(1.0 / 19));
  tail = fma(tail, z, T(1.0 / 17));
  tail = fma(tail, z, T(1.0 / 15));
  tail = fma(tail, z, T(1.0 / 13));
  tail = fma(tail, z, T(1.0 / 11));
  tail = fma(tail, z, T(1.0 / 9));
  tail = fma(tail, z, T(1.0 / 7));
  tail = fma(tail, z, T(1.0 / 5));
  tail = fma(tail, z, T(1.0 / 3));
  const T series = fma(s * z, tail, s);
  return fma(parts.exponent, T(0.69314718055994530942), series + series);
}

template <class T> struct normal_pair {
  T first;
  T second;
};

// Uniforms in (0, 1]; the upper end gives radius zero, which is a value like any other.
template <class T> EF_HD normal_pair<T> box_muller(T radius_uniform, T angle_uniform) {
  const T radius = sqrt(T(-2) * log_normal_range(radius_uniform));
  const auto circle = sincospi(angle_uniform + angle_uniform);
  return {radius * circle.cosine, radius * circle.sine};
}

EF_HD float uniform(uint32 word) {
  return (static_cast<float>(word) + 0.5f) * 2.3283064365386963e-10f;
}

EF_HD double uniform(uint32 high, uint32 low) {
  const uint64 bits = (static_cast<uint64>(high) << 32 | low) >> 11;
  return (static_cast<double>(bits) + 0.5) * 1.1102230246251565e-16;
}

// What one counter gives: entries 4 c ... 4 c + 3 of a row in single precision, 2 c and 2 c + 1 in
// double.
EF_HD void normals_of_counter(uint64 key, uint64 row, uint64 counter, float out[4]) {
  const philox_words w = philox4x32(counter, row, key);
  const auto low = box_muller(uniform(w.word[0]), uniform(w.word[1]));
  const auto high = box_muller(uniform(w.word[2]), uniform(w.word[3]));
  out[0] = low.first;
  out[1] = low.second;
  out[2] = high.first;
  out[3] = high.second;
}

EF_HD void normals_of_counter(uint64 key, uint64 row, uint64 counter, double out[2]) {
  const philox_words w = philox4x32(counter, row, key);
  const auto pair = box_muller(uniform(w.word[0], w.word[1]), uniform(w.word[2], w.word[3]));
  out[0] = pair.first;
  out[1] = pair.second;
}

// Entries (row, 4 block) ... (row, 4 block + 3).
EF_HD void normals(uint64 key, uint64 row, uint64 block, float out[4]) {
  normals_of_counter(key, row, block, out);
}

EF_HD void normals(uint64 key, uint64 row, uint64 block, double out[4]) {
  normals_of_counter(key, row, 2 * block, out);
  normals_of_counter(key, row, 2 * block + 1, out + 2);
}

EF_HD_END
