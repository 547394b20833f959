// SPDX-License-Identifier: BSD-3-Clause
// Gains by what was missing since the covariance was last known. Covariances do not depend on the
// data: the same gaps lead to the same ones, so that a tree of patterns, one level a step, finds
// them again. A branch ends where the covariance is the steady one, or, after a gap, one that was
// there before: with gaps at regular distances every step is soon found.
#pragma once

#include "lds_known.hpp"

#include <cstdint>
#include <deque>
#include <memory>

namespace eigenflow::lds {

// Where a covariance was put by a recorder; -1 for nowhere yet.
struct stored_places {
  std::int32_t predicted = -1, innovation = -1, filtered = -1;
};

class gain_cache {
public:
  // What one row does to the mean.
  struct move {
    std::uint64_t pattern = 0;
    index next = 0;       // the law after it; 0 for the steady one
    double constant = 0;  // its log-likelihood but for the innovations
    buffer gain;          // as isa::lds_known_run wants it
    stored_places places; // of the covariances of the step
    bool stays = false;   // under the steady law
    move *then = nullptr; // what a whole row does next, once it was asked for
  };

  gain_cache(const dense_model &system, const steady_filter &steady, bool wanted);

  // False where there is no scale to compare by, or where little was found again.
  bool usable() const { return usable_; }
  std::uint64_t pattern(vector_view<const double> y) const;
  bool whole(std::uint64_t pattern) const { return pattern == all_; }
  // The rows of a pattern; they stay until the cache is emptied.
  observed_rows &rows(std::uint64_t pattern);

  // A law to start from: its covariance, and its root in array form.
  index add(const buffer &cov, const buffer &root);
  const buffer &cov(index law) const { return laws_[count(law)].cov; }
  const buffer &root(index law) const { return laws_[count(law)].root; }

  // What follows a law, and what a whole row does after another move; null if it was not there
  // before. After the steady law, 0, a whole row is always known.
  move *find(index law, std::uint64_t pattern);
  move *whole_after(move &m) const {
    if (m.then == nullptr)
      m.then = laws_[count(m.next)].whole;
    return m.then;
  }
  // To be told how many rows were found.
  void count_found(index rows) { found_ += rows; }
  // Keeps what a step did: the trace of its update, and the law after it. `gap` becomes the
  // difference to the law that stands for it, in units of the steady scale. Negative when the cache
  // is full, and empty from now on; else the law.
  index keep(index law, std::uint64_t pattern, const std::vector<scalar_update> &trace,
             const stored_places &places, const buffer &cov, const buffer &root, double &gap);

private:
  struct stored {
    buffer cov, root;
    move *whole = nullptr; // of a whole row
    std::vector<move *> others;
  };
  void start();
  void attach(index law, move &&m);
  index law_near(std::uint64_t pattern, const buffer &cov, double &gap) const;
  void clear();

  const dense_model &system_;
  const steady_filter &steady_;
  bool usable_;
  std::uint64_t all_ = 0;
  index most_laws_ = 0, found_ = 0, missed_ = 0;
  std::vector<stored> laws_;
  std::deque<move> moves_;                                 // which stay where they are
  std::vector<std::pair<std::uint64_t, index>> after_gap_; // pattern of the gap, law after it
  std::vector<std::pair<std::uint64_t, std::unique_ptr<observed_rows>>> rows_;
};

} // namespace eigenflow::lds
