// SPDX-License-Identifier: BSD-3-Clause
// A program that lends the library its own threads, and its own BLAS: a file that it opens.
#include <eigenflow/blas.hpp>
#include <eigenflow/flow.hpp>
#include <eigenflow/parallel.hpp>
#include <eigenflow/svd.hpp>

#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <dlfcn.h>

using namespace eigenflow;

namespace {

// Threads that live as long as the program, as HPC codes have them.
class pool {
public:
  explicit pool(int n) {
    for (int i = 0; i < n; ++i)
      threads_.emplace_back([this] { work(); });
  }
  ~pool() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    wake_.notify_all();
    for (auto &thread : threads_)
      thread.join();
  }
  // The caller is worker 0, so that Ctrl-C is looked for on its thread.
  void run(int n_workers, parallel_task task, void *context) {
    std::atomic<int> left{n_workers - 1};
    for (int worker = 1; worker < n_workers; ++worker)
      push([&left, task, context, worker] {
        task(context, worker);
        left.fetch_sub(1);
        left.notify_one();
      });
    task(context, 0);
    for (int now = left.load(); now > 0; now = left.load())
      left.wait(now);
    calls.fetch_add(1);
  }
  std::atomic<int> calls{0};

private:
  void push(std::function<void()> job) {
    {
      const std::lock_guard lock(mutex_);
      jobs_.push_back(std::move(job));
    }
    wake_.notify_one();
  }
  void work() {
    for (;;) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return over_ || !jobs_.empty(); });
      if (jobs_.empty())
        return;
      const auto job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
    }
  }
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;
  std::vector<std::thread> threads_;
  bool over_ = false;
};

// Every slot of the table from one library; the names of SciPy's begin with scipy_.
bool bind_blas(const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  for (const char *name : blas::names()) {
    void *routine = nullptr;
    for (const std::string &symbol : {std::string(name) + "_", "scipy_" + std::string(name) + "_"})
      if (library != nullptr && routine == nullptr)
        routine = dlsym(library, symbol.c_str());
    if (routine == nullptr || !blas::bind(name, routine))
      return false;
  }
  return true;
}

std::vector<double> flow_of(int workers) {
  const std::int64_t n = 200000;
  std::vector<double> z(n), eigenvalues(n, 0.5), b0(n, 0.3), theta(n);
  for (std::int64_t i = 0; i < n; ++i)
    z[static_cast<std::size_t>(i)] = std::sin(static_cast<double>(i));
  flow::options options;
  options.depth = 1;
  options.workers = workers;
  const double time = 2;
  flow::solve<double>(options,
                      {row_major<const double>(z.data(), 1, n),
                       row_major<const double>(eigenvalues.data(), 1, n),
                       row_major<const double>(b0.data(), 1, n)},
                      {&time, 1}, theta.data());
  return theta;
}

int failures = 0;
void check(bool ok, const char *what) {
  if (!ok) {
    ++failures;
    std::printf("failed: %s\n", what);
  }
}

} // namespace

int main() {
  const std::vector<double> alone = flow_of(1);
  pool threads(3);
  set_parallel_runner(
      [](void *mine, int n_workers, parallel_task task, void *context) {
        static_cast<pool *>(mine)->run(n_workers, task, context);
      },
      &threads);
  check(flow_of(4) == alone, "the same bytes from the program's threads");
  check(threads.calls.load() > 0, "the program's threads did the work");

  const char *path = std::getenv("EIGENFLOW_TEST_BLAS");
  if (!blas::available() && (path == nullptr || !bind_blas(path))) {
    std::printf("no svd: set EIGENFLOW_TEST_BLAS to a BLAS with LAPACK\n");
    check(path == nullptr, "the library that EIGENFLOW_TEST_BLAS names");
  } else {
    const double a[] = {3, 0, 0, 4};
    const auto found = svd::decompose<double>(row_major(a, 2, 2), {.rank = 1}, self_comm{});
    check(std::abs(found.s[0] - 4) < 1e-14, "singular value");
  }
  set_parallel_runner(nullptr);
  const int calls = threads.calls.load();
  check(flow_of(2) == alone && threads.calls.load() == calls, "std::thread again");
  return failures == 0 ? 0 : 1;
}
