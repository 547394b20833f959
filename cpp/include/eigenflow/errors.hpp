// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <stdexcept>
#include <string>

namespace eigenflow {

// An argument has a wrong shape or value. The message starts with the argument's name.
struct argument_error : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

// An iteration ran out of steps before it reached the accuracy asked for.
struct convergence_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The host program asked a long call to stop (Ctrl-C in Python); outputs are unfinished.
struct interrupted : std::runtime_error {
  interrupted() : std::runtime_error("interrupted") {}
};

inline void require(bool ok, const std::string &message) {
  if (!ok)
    throw argument_error(message);
}

} // namespace eigenflow
