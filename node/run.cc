#include "node/run.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "node/local_server.h"
#include "node/log.h"
#include "node/node.h"
#include "node/notify.h"
#include "node/reload.h"
#include "node/resources.h"

namespace starling::node {

namespace {

constexpr int64_t poll_ms = 200;
constexpr unsigned callers_wait_s = 4;
volatile std::sig_atomic_t last_code = 0;  // of the process, should the wait be over

ExitCode fail(const HomeError& error) {
  std::fprintf(stderr, "starling: %s\n", error.message.c_str());
  return error.code;
}

// Blocked before any thread starts, so that all of them inherit it and only wait_for_end() takes
// the signals. The terminal's hang-up ends what was started there; elsewhere it asks to read the
// configuration again.
sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return signals;
}

// `is_at_terminal`: as it was at the start; one that has hung up is none any more.
void wait_for_end(const sigset_t& signals, bool is_at_terminal, Node& node, Reloader& reloader) {
  const int64_t watchdog_ms = watchdog_interval_ms();
  int64_t since_watchdog_ms = 0;
  while (!node.is_leaving()) {
    const timespec timeout{0, poll_ms * 1000000};
    const int received = sigtimedwait(&signals, nullptr, &timeout);
    if (received == SIGHUP && !is_at_terminal) {
      reloader.reload(node);
    } else if (received > 0) {
      log_info("signal",
               {{"number", std::to_string(received)}, {"next", "a last checkpoint, then the end"}});
      return;
    }
    since_watchdog_ms += poll_ms;
    if (watchdog_ms > 0 && since_watchdog_ms >= watchdog_ms) {
      notify_systemd("WATCHDOG=1");
      since_watchdog_ms = 0;
    }
  }
}

// What still runs for a caller is not worth more than this: all is on disk, and evaluating a long
// text, which nothing interrupts, can take minutes.
void end_within_seconds(ExitCode code) {
  last_code = static_cast<int>(code);
  std::signal(SIGALRM, [](int) { _exit(last_code); });
  alarm(callers_wait_s);
}

}  // namespace

ExitCode run_node(const RunOptions& options) {
  return_freed_vectors();
  const sigset_t signals = block_signals();
  const bool is_at_terminal = isatty(STDIN_FILENO) == 1;
  prctl(PR_SET_DUMPABLE, 0);  // the identity key must not end up in a core file
  Result<Home, HomeError> home = open_home(options.directory);
  if (!home) return fail(home.error());
  const Config::Log& log = home->config.log;
  if (!set_up_log(options.log_level.empty() ? log.level : options.log_level,
                  options.log_format.empty() ? log.format : options.log_format)) {
    return fail({ExitCode::usage,
                 "log level must be debug, info, warning or error; log format text or json"});
  }
  Result<HomeLock, HomeError> lock = HomeLock::acquire(home->paths);
  if (!lock) return fail(lock.error());
  Result<std::unique_ptr<Node>, HomeError> node = Node::start(std::move(*home), std::move(*lock));
  if (!node) return fail(node.error());
  const Home& live = (*node)->home();
  auto server = LocalServer::start(
      {live.paths.directory, live.config.node.api, live.config.serve.requests_max}, **node);
  if (!server) return fail(server.error());

  log_info("running", {{"directory", options.directory}, {"listen", (*node)->status().listen}});
  notify_systemd("READY=1");
  Reloader reloader(live.config, live.paths.config, !options.log_level.empty());
  wait_for_end(signals, is_at_terminal, **node, reloader);
  notify_systemd("STOPPING=1");
  // A second signal ends the process at once: what is on disk is always a whole state.
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  const ExitCode code = (*node)->stop() ? ExitCode::ok : ExitCode::failed;
  end_within_seconds(code);
  server->reset();
  return code;
}

}  // namespace starling::node
