// SPDX-License-Identifier: BSD-3-Clause
// Covariances of a filter's steps, each distinct one stored once.
#pragma once

#include "lds_gains.hpp"

#include <eigenflow/errors.hpp>

#include <algorithm>

namespace eigenflow::lds {

class recorder {
public:
  recorder(const dense_model &system, index n_steps, const filter_options &options,
           filter_result &result)
      : system_(system), options_(options), result_(result), work_(count(system.p * system.n)),
        innovation_cov_(count(system.p * system.p)) {
    reserve(options.store_predicted_cov, result.predicted_cov, n_steps);
    reserve(options.store_filtered_cov, result.filtered_cov, n_steps);
    reserve(options.store_innovation_cov, result.innovation_cov, n_steps);
  }

  bool wanted() const {
    return options_.store_predicted_cov || options_.store_filtered_cov ||
           options_.store_innovation_cov;
  }

  // `settled` says that P is the steady covariance, which is stored once.
  void before(const steady_filter &f, const buffer &P, bool settled, stored_places &at) {
    if (options_.store_predicted_cov)
      at.predicted =
          settled ? repeat(result_.predicted_cov, f.P, 1) : append(result_.predicted_cov, P);
    if (options_.store_innovation_cov && settled)
      at.innovation = repeat(result_.innovation_cov, f.S, 1);
    else if (options_.store_innovation_cov) {
      small::congruence(system_.p, system_.n, system_.C.data(), P.data(), system_.R.data(),
                        innovation_cov_.data(), work_.data());
      at.innovation = append(result_.innovation_cov, innovation_cov_);
    }
  }

  void after(const buffer &P, stored_places &at) {
    if (options_.store_filtered_cov)
      at.filtered = append(result_.filtered_cov, P);
  }

  // A step whose covariances are there already.
  void again(const stored_places &at) {
    if (options_.store_predicted_cov)
      result_.predicted_cov.index.push_back(at.predicted);
    if (options_.store_innovation_cov)
      result_.innovation_cov.index.push_back(at.innovation);
    if (options_.store_filtered_cov)
      result_.filtered_cov.index.push_back(at.filtered);
  }

  void steady(const steady_filter &f, index n_steps) {
    if (options_.store_predicted_cov)
      repeat(result_.predicted_cov, f.P, n_steps);
    if (options_.store_filtered_cov)
      repeat(result_.filtered_cov, f.filtered, n_steps);
    if (options_.store_innovation_cov)
      repeat(result_.innovation_cov, f.S, n_steps);
  }

private:
  static void reserve(bool wanted, covariance_sequence &sequence, index n_steps) {
    if (wanted)
      sequence.index.reserve(count(n_steps));
  }
  static std::int32_t size_of(const covariance_sequence &sequence, const buffer &value) {
    const std::size_t n = sequence.values.size() / value.size();
    require(n < 0x7fffffff, "y: too many distinct covariances to store, want store without them");
    return static_cast<std::int32_t>(n);
  }
  static std::int32_t append(covariance_sequence &sequence, const buffer &value) {
    const std::int32_t place = size_of(sequence, value);
    const bool same =
        place > 0 && std::equal(value.begin(), value.end(),
                                sequence.values.end() - static_cast<std::ptrdiff_t>(value.size()));
    if (!same)
      sequence.values.insert(sequence.values.end(), value.begin(), value.end());
    sequence.index.push_back(same ? place - 1 : place);
    return sequence.index.back();
  }
  std::int32_t repeat(covariance_sequence &sequence, const buffer &value, index n_steps) {
    const std::int32_t place = steady_place(sequence, value);
    sequence.index.insert(sequence.index.end(), count(n_steps), place);
    return place;
  }
  std::int32_t steady_place(covariance_sequence &sequence, const buffer &value) {
    std::int32_t &place = &sequence == &result_.predicted_cov  ? places_[0]
                          : &sequence == &result_.filtered_cov ? places_[1]
                                                               : places_[2];
    if (place < 0) {
      place = size_of(sequence, value);
      sequence.values.insert(sequence.values.end(), value.begin(), value.end());
    }
    return place;
  }

  const dense_model &system_;
  const filter_options &options_;
  filter_result &result_;
  buffer work_, innovation_cov_;
  std::int32_t places_[3] = {-1, -1, -1};
};

} // namespace eigenflow::lds
