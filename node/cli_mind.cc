// ask, chat, teach, learn, eval: using and feeding the model of a running node.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>

#include "node/cli_verbs.h"
#include "node/local_server.h"
#include "node/table.h"
#include "node/text_check.h"

namespace starling::node {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr size_t folder_files_max = 10000;
constexpr int folder_depth_max = 16;
constexpr size_t chat_memory_max = 4096;  // bytes of what was said before

uint64_t any_seed() {
  std::random_device source;
  return (uint64_t{source()} << 32) | source();
}

v1::AskRequest request_of(const AskArguments& arguments) {
  v1::AskRequest request;
  request.set_prompt(arguments.prompt);
  request.set_bytes_max(arguments.bytes_max);
  request.set_temperature(static_cast<float>(arguments.temperature));
  request.set_top_p(static_cast<float>(arguments.top_p));
  request.set_seed(arguments.seed ? *arguments.seed : any_seed());
  request.set_no_stop(arguments.is_without_stop);
  return request;
}

// Prints pieces as they come, with a newline at the end, and collects them.
Answer<Done> stream_answer(Cli& cli, LocalClient& client, const AskArguments& arguments,
                           std::string& answer) {
  auto done = client.ask(request_of(arguments), [&](const std::string& piece) {
    answer += piece;
    if (!cli.options.is_json) cli.console.out << presentable(cli, piece) << std::flush;
    return cli.console.out.good();
  });
  const bool has_newline = !answer.empty() && answer.back() == '\n';
  if (!cli.options.is_json && !has_newline && (done || !answer.empty()))
    cli.console.out << std::endl;
  return done;
}

v1::DataKind kind_named(const std::string& kind) {
  if (kind == "text") return v1::DATA_KIND_TEXT;
  if (kind == "pairs") return v1::DATA_KIND_PAIRS;
  return v1::DATA_KIND_UNSPECIFIED;
}

HomeError bad_file(const std::string& path, const std::string& problem) {
  return {ExitCode::bad_data, path + ": " + problem};
}

// The whole file, when it is something to learn from.
Answer<std::string> read_text_file(const std::string& path) {
  std::error_code error;
  const auto kind = fs::status(path, error).type();
  if (kind == fs::file_type::not_found) return Unexpected{bad_file(path, "there is no such file")};
  if (kind == fs::file_type::directory) return Unexpected{bad_file(path, "is a folder")};
  if (kind != fs::file_type::regular)
    return Unexpected{bad_file(path, "is not a file that can be read")};
  std::ifstream in(path, std::ios::binary);
  if (!in) return Unexpected{bad_file(path, "cannot be read; is it yours?")};
  std::string text(std::min<size_t>(fs::file_size(path, error), local_upload_size_max) + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  if (in.bad())
    return Unexpected{bad_file(path, "cannot be read to its end; is the disk all right?")};
  if (text.empty()) return Unexpected{bad_file(path, "is empty")};
  if (text.size() > local_upload_size_max) {
    return Unexpected{
        bad_file(path, "is larger than 64 MiB; split it, for example with: split -C 60M")};
  }
  if (is_binary(text)) {
    return Unexpected{
        bad_file(path,
                 "is not text; starling learns from text in any language, and from .tsv files of "
                 "PROMPT<TAB>ANSWER")};
  }
  return text;
}

// What to learn from below a folder, in the order of names. Links to folders are not followed.
std::vector<std::string> files_below(const std::string& folder, std::string& note) {
  std::vector<std::string> files;
  std::error_code error;
  fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    if (at.depth() >= folder_depth_max) at.disable_recursion_pending();
    const std::string ending = at->path().extension().string();
    std::error_code ignored;
    if (!at->is_regular_file(ignored) || (ending != ".txt" && ending != ".md" && ending != ".tsv"))
      continue;
    if (files.size() == folder_files_max) {
      note = folder + ": has more than " + std::to_string(folder_files_max) +
             " files; the rest is left out";
      break;
    }
    files.push_back(at->path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string taken_text(const v1::LearnResponse& taken) {
  std::string text = taken.kind() == v1::DATA_KIND_PAIRS ? count_text(taken.pairs(), "pair")
                                                         : size_text(taken.bytes()) + " of text";
  if (!taken.note().empty()) text += " (" + taken.note() + ")";
  return text;
}

// What `learn` has done so far.
struct Intake {
  Json files = Json::array();
  Json refused = Json::array();
  uint64_t bytes = 0;
  uint64_t pairs = 0;
};

void refuse(Cli& cli, Intake& intake, const std::string& path, const std::string& reason) {
  intake.refused.push_back({{"file", path}, {"reason", reason}});
  if (!cli.options.is_json) cli.console.err << "starling: " << presentable(cli, reason) << "\n";
}

// Errors: those of the node; what is wrong with the file alone is noted and not an error.
Answer<Done> take_file(Cli& cli, LocalClient& client, const std::string& path, v1::DataKind kind,
                       Intake& intake) {
  const auto text = read_text_file(path);
  if (!text) {
    refuse(cli, intake, path, text.error().message);
    return Done{};
  }
  v1::LearnHeader header;
  header.set_name(fs::path(path).filename().string());
  if (utf8_prefix_size(header.name()) != header.name().size())
    header.set_name(printable(header.name(), 255));
  header.set_kind(kind);
  const auto taken = client.learn(header, *text);
  if (!taken && taken.error().code == ExitCode::bad_data) {
    // The node knows the file by its name alone; here it is known by its path.
    const std::string known_as = header.name() + ": ";
    std::string reason = taken.error().message;
    if (reason.starts_with(known_as)) reason.erase(0, known_as.size());
    refuse(cli, intake, path, path + ": " + reason);
    return Done{};
  }
  if (!taken) return Unexpected{taken.error()};
  intake.bytes += taken->bytes();
  intake.pairs += taken->pairs();
  intake.files.push_back({{"file", path},
                          {"kind", taken->kind() == v1::DATA_KIND_PAIRS ? "pairs" : "text"},
                          {"bytes", taken->bytes()},
                          {"pairs", taken->pairs()},
                          {"note", taken->note()}});
  if (!cli.options.is_json)
    cli.console.out << presentable(cli, path) << ": " << taken_text(*taken) << std::endl;
  return Done{};
}

}  // namespace

ExitCode learn_verb(Cli& cli, const FeedArguments& arguments) {
  auto client = connect(cli);
  if (!client) return fail(cli, client.error());
  Intake intake;
  for (const auto& path : arguments.paths) {
    std::error_code ignored;
    std::vector<std::string> files = {path};
    if (fs::is_directory(path, ignored)) {
      std::string note;
      files = files_below(path, note);
      if (!note.empty()) say(cli, note);
      if (files.empty())
        refuse(cli, intake, path, path + ": has no readable .txt, .md or .tsv files");
    }
    for (const auto& file : files) {
      const auto done = take_file(cli, *client, file, kind_named(arguments.kind), intake);
      if (!done) return fail(cli, done.error());
    }
  }
  if (cli.options.is_json) {
    print_json(cli, {{"files", intake.files},
                     {"bytes", intake.bytes},
                     {"pairs", intake.pairs},
                     {"refused", intake.refused}});
  }
  return intake.refused.empty() ? ExitCode::ok : ExitCode::bad_data;
}

ExitCode eval_verb(Cli& cli, const FeedArguments& arguments) {
  auto client = connect(cli);
  if (!client) return fail(cli, client.error());
  const auto text = read_text_file(arguments.paths.at(0));
  if (!text) return fail(cli, text.error());
  const auto score = client->evaluate(kind_named(arguments.kind), *text);
  if (!score) return fail(cli, score.error());
  const bool is_pairs = score->kind() == v1::DATA_KIND_PAIRS;
  if (cli.options.is_json) {
    print_json(
        cli, is_pairs ? Json{{"accuracy", score->accuracy()}, {"examples", score->examples()}}
                      : Json{{"bits_per_byte", score->bits_per_byte()}, {"bytes", score->bytes()}});
  } else if (is_pairs) {
    cli.console.out << number_text(score->accuracy() * 100, 1) << " % of "
                    << count_text(score->examples()) << " answers are right\n";
  } else {
    cli.console.out << number_text(score->bits_per_byte(), 4) << " bits per byte over "
                    << count_text(score->bytes()) << " bytes\n";
  }
  return ExitCode::ok;
}

ExitCode teach_verb(Cli& cli, const std::string& prompt, const std::string& answer) {
  auto client = connect(cli);
  if (!client) return fail(cli, client.error());
  const auto outcome = client->teach(prompt, answer);
  if (!outcome) return fail(cli, outcome.error());
  if (cli.options.is_json) {
    print_json(cli, {{"learned", outcome->learned()},
                     {"steps", outcome->steps()},
                     {"answer", outcome->answer()}});
  } else if (outcome->learned()) {
    cli.console.out << "learned in " << outcome->steps()
                    << " steps: " << presentable(cli, outcome->answer()) << "\n";
  } else {
    cli.console.out << "not learned after " << outcome->steps()
                    << " steps; it answers: " << presentable(cli, outcome->answer()) << "\n";
    say(cli, "teach it again, or give it more examples with: starling learn FILE");
  }
  return outcome->learned() ? ExitCode::ok : ExitCode::failed;
}

ExitCode ask_verb(Cli& cli, const AskArguments& arguments) {
  auto client = connect(cli);
  if (!client) return fail(cli, client.error());
  std::string answer;
  const auto done = stream_answer(cli, *client, arguments, answer);
  if (!done) return fail(cli, done.error());
  if (cli.options.is_json) print_json(cli, {{"prompt", arguments.prompt}, {"answer", answer}});
  return ExitCode::ok;
}

ExitCode chat_verb(Cli& cli, const AskArguments& arguments) {
  auto client = connect(cli);
  if (!client) return fail(cli, client.error());
  if (cli.console.is_in_terminal) say(cli, "say something; an empty line or Ctrl-D ends");
  std::string before;
  while (true) {
    if (cli.console.is_in_terminal) cli.console.out << "> " << std::flush;
    std::string line;
    if (!std::getline(cli.console.in, line) || line.empty()) break;
    AskArguments turn = arguments;
    turn.prompt = before + line;
    std::string answer;
    const auto done = stream_answer(cli, *client, turn, answer);
    while (!answer.empty() && answer.back() == '\n') answer.pop_back();
    if (!done) return fail(cli, done.error());
    if (cli.options.is_json) print_json(cli, {{"prompt", line}, {"answer", answer}});
    before += line + answer + "\n";
    if (before.size() > chat_memory_max) before.erase(0, before.size() - chat_memory_max);
  }
  return ExitCode::ok;
}

}  // namespace starling::node
