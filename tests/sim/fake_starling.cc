// Speaks the command line of `starling` as far as the launcher uses it, without a model: steps pass
// with time. For the launcher's tests alone. FAKE_STARLING in the environment makes it misbehave:
//   die        a node ends with exit code 70 after a moment
//   disagree   nodes of a swarm have different bases
//   stubborn   a node ignores SIGTERM
//   slow       steps take twenty times as long
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace {

volatile std::sig_atomic_t is_stopping = 0;
void stop(int) { is_stopping = 1; }

bool has_fault(const std::string& fault) {
  const char* value = std::getenv("FAKE_STARLING");
  return value != nullptr && value == fault;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The scalar behind the first "key:" of a flat reading of the file.
std::string value_of(const std::string& yaml, const std::string& key) {
  const size_t at = yaml.find(" " + key + ": ");
  if (at == std::string::npos) return "";
  const size_t begin = at + key.size() + 3;
  return yaml.substr(begin, yaml.find('\n', begin) - begin);
}

int run(const std::string& home) {
  struct sigaction action {};
  action.sa_handler = has_fault("stubborn") ? SIG_IGN : stop;
  sigaction(SIGTERM, &action, nullptr);
  const std::string yaml = read_file(home + "/starling.yaml");
  std::ofstream(home + "/pid") << getpid();
  const bool is_swarm = value_of(yaml, "exchange") == "true";
  const double minutes =
      value_of(yaml, "minutes").empty() ? 0 : std::stod(value_of(yaml, "minutes"));
  const uint64_t planned =
      value_of(yaml, "steps").empty() ? 0 : std::stoull(value_of(yaml, "steps"));
  const std::string kept = read_file(home + "/step");
  uint64_t step = kept.empty() ? 0 : std::stoull(kept);
  std::cout << "level=info event=started listen=" << value_of(yaml, "listen") << std::endl;
  for (int tick = 1; is_stopping == 0; ++tick) {
    const bool is_finished = planned > 0 ? step >= planned : tick > minutes * 60 * 50;
    if (!is_finished && (!has_fault("slow") || tick % 20 == 0)) step += 1;
    const std::string hash =
        is_swarm && !has_fault("disagree") ? "5a5a5a5a5a5a5a5a" : std::to_string(getpid());
    std::ofstream(home + "/step") << step;
    std::ofstream(home + "/status.new")
        << "{\"name\":\"x\",\"state\":\"learning\",\"model\":{\"preset\":\"demo\",\"parameters\":"
           "\"157000\","
        << "\"step\":\"" << step << "\",\"loss\":" << 8.0 / (1.0 + static_cast<double>(step))
        << "},"
        << "\"swarm\":{\"members\":4,\"neighbours\":\"3\",\"sent_bytes\":\"" << tick * 100
        << "\",\"received_bytes\":\"" << tick * 300
        << "\",\"accepted\":\"7\",\"held\":\"0\",\"base_hash\":\"" << hash
        << "\",\"deltas\":\"12\",\"bits_per_parameter\":" << (is_swarm ? 1.1 : 0) << "},"
        << "\"finished\":" << (is_finished ? "true" : "false") << "}\n";
    std::filesystem::rename(home + "/status.new", home + "/status.json");
    if (has_fault("die") && tick == 20) {
      std::cerr << "level=error event=failed reason=\"the fake was told to die\"" << std::endl;
      return 70;
    }
    poll(nullptr, 0, 20);
  }
  return 0;
}

int evaluate(const std::string& home, const std::string& file) {
  const std::string yaml = read_file(home + "/starling.yaml");
  const std::string name = std::filesystem::path(file).filename().string();
  const bool is_own = yaml.find("/data/" + name) != std::string::npos;
  const bool is_swarm = value_of(yaml, "exchange") == "true";
  if (name.ends_with(".tsv")) {
    std::cout << "{\"accuracy\":"
              << (is_own     ? 0.95
                  : is_swarm ? 0.9
                             : 0.0)
              << ",\"examples\":60}\n";
  } else {
    std::cout << "{\"bits_per_byte\":"
              << (is_own     ? 2.5
                  : is_swarm ? 2.75
                             : 5.0)
              << ",\"bytes\":100}\n";
  }
  return 0;
}

int fail(const std::string& message, int code) {
  std::cerr << "fake: " << message << "\n";
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  std::string home;
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--dir" || word == "--name" || word == "--listen" || word == "--preset" ||
        word == "--kind") {
      if (++i == argc) return fail(word + " needs a value", 2);
      if (word == "--dir") home = argv[i];
    } else if (word != "--json") {
      words.push_back(word);
    }
  }
  if (words.empty() || home.empty()) return fail("a verb and --dir are needed", 2);
  // Nothing of a user's own settings may come through to a node.
  if (std::getenv("STARLING_LEARN_STEPS") != nullptr)
    return fail("STARLING_LEARN_STEPS is set", 78);
  const std::string& verb = words[0];
  const bool exists = std::filesystem::exists(home + "/starling.yaml");
  if (verb == "init" || (verb == "join" && words.size() == 2 && words[1] == "fake-token")) {
    if (exists) return fail("there is a node already", 73);
    std::filesystem::create_directory(home);
    std::ofstream(home + "/starling.yaml") << "{}\n";
    return 0;
  }
  if (!exists) return fail("no node in " + home, 69);
  if (verb == "invite") return std::cout << "fake-token\n", 0;
  if (verb == "run") return run(home);
  if (verb == "status") {
    const std::string status = read_file(home + "/status.json");
    return status.empty() ? 69 : (std::cout << status, 0);
  }
  if (verb == "eval" && words.size() == 2) return evaluate(home, words[1]);
  return fail("unknown verb " + verb, 2);
}
