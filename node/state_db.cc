// state.db (SQLite 3, WAL), schema 1:
//   epoch(one = 1, epoch)       one row; the last boot epoch
//   member(id, record)          id: 20 bytes; record: a Members message with one (swarm/codec.cc)
//   value(key, text)
//   admission(item)             as in swarm/admissions.cc; older versions do not look at the table
// Nothing here is the only copy of anything that matters: a damaged file is renamed to
// state.db.damaged-N (the newest two are kept for the curious) and a new one begun.
#include "node/state_db.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <mutex>
#include <utility>

#include "node/file.h"
#include "swarm/codec.h"

namespace starling::node {

namespace {

constexpr int schema_version = 1;
constexpr int busy_timeout_ms = 2000;
constexpr size_t damaged_kept_max = 2;
constexpr uint64_t epoch_max = uint64_t{1} << 62;  // SQLite's integers are signed
constexpr std::string_view damaged_mark = ".damaged-";

constexpr const char* create_schema =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE epoch(one INTEGER PRIMARY KEY CHECK(one = 1), epoch INTEGER NOT NULL);"
    "CREATE TABLE member(id BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE value(key TEXT PRIMARY KEY, text BLOB NOT NULL) WITHOUT ROWID;"
    "PRAGMA user_version = 1;"
    "COMMIT;";

constexpr const char* add_tables =
    "CREATE TABLE IF NOT EXISTS admission(item BLOB PRIMARY KEY) WITHOUT ROWID;";

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
};
struct FinishStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;
using Statement = std::unique_ptr<sqlite3_stmt, FinishStatement>;

// A statement in use: bound, stepped, and reset when it goes out of scope.
class Query {
 public:
  explicit Query(const Statement& statement) : statement_(statement.get()) {}
  ~Query() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  // What is bound outlives the query.
  Query& bind(int at, int64_t value) {
    sqlite3_bind_int64(statement_, at, value);
    return *this;
  }
  Query& bind(int at, const std::string& text) {
    sqlite3_bind_text(statement_, at, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
    return *this;
  }
  Query& bind(int at, swarm::ByteView bytes) {
    sqlite3_bind_blob(statement_, at, bytes.data(), static_cast<int>(bytes.size()), SQLITE_STATIC);
    return *this;
  }
  int step() { return sqlite3_step(statement_); }
  int64_t integer(int column) { return sqlite3_column_int64(statement_, column); }
  swarm::Bytes bytes(int column) {
    const auto* data = static_cast<const uint8_t*>(sqlite3_column_blob(statement_, column));
    const int size = sqlite3_column_bytes(statement_, column);
    return data == nullptr ? swarm::Bytes{} : swarm::Bytes(data, data + size);
  }

 private:
  sqlite3_stmt* statement_;
};

int run(sqlite3* database, const char* sql) {
  return sqlite3_exec(database, sql, nullptr, nullptr, nullptr);
}

Statement prepare(sqlite3* database, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  sqlite3_prepare_v3(database, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  return Statement(statement);
}

bool is_sound(sqlite3* database) {
  const Statement check = prepare(database, "PRAGMA quick_check(1)");
  if (!check) return false;
  Query query(check);
  if (query.step() != SQLITE_ROW) return false;
  const swarm::Bytes answer = query.bytes(0);
  return std::string(answer.begin(), answer.end()) == "ok";
}

std::optional<int64_t> read_integer(sqlite3* database, const char* sql) {
  const Statement statement = prepare(database, sql);
  if (!statement) return std::nullopt;
  Query query(statement);
  if (query.step() != SQLITE_ROW) return std::nullopt;
  return query.integer(0);
}

// Renames the file and its journal; all but the newest damaged_kept_max of them are removed.
Result<std::string, std::string> set_aside(const std::string& path) {
  const std::string directory = directory_of(path);
  const std::string stem =
      path.substr(path.rfind('/') == std::string::npos ? 0 : path.rfind('/') + 1) +
      std::string(damaged_mark);
  std::vector<uint64_t> numbers;
  if (const auto names = list_directory(directory)) {
    for (const std::string& name : *names) {
      const std::string digits = name.size() > stem.size() ? name.substr(stem.size()) : "";
      const bool is_ours = name.compare(0, stem.size(), stem) == 0 && !digits.empty() &&
                           digits.size() <= 9 &&
                           digits.find_first_not_of("0123456789") == std::string::npos;
      if (is_ours) numbers.push_back(std::stoull(digits));  // at most 9 digits: it fits
    }
  }
  std::sort(numbers.begin(), numbers.end());
  const uint64_t next = numbers.empty() ? 1 : numbers.back() + 1;
  const std::string prefix = path + std::string(damaged_mark);
  const std::string target = prefix + std::to_string(next);
  if (::rename(path.c_str(), target.c_str()) != 0)
    return Unexpected{file_error("set aside", path, errno)};
  ::rename((path + "-wal").c_str(), (target + "-wal").c_str());
  ::unlink((path + "-shm").c_str());
  for (size_t i = 0; i + damaged_kept_max <= numbers.size(); ++i) {
    const std::string old = prefix + std::to_string(numbers[i]);
    ::unlink(old.c_str());
    ::unlink((old + "-wal").c_str());
  }
  return target;
}

// What a try at opening came to: a database that can be used, one that is damaged, or a failure to
// report.
struct Attempt {
  Database database;
  bool is_damaged = false;
  std::optional<StateDb::Failure> failure;
};

StateDb::Failure unusable(const std::string& path, const std::string& why) {
  return {StateDb::OpenError::unusable,
          "cannot use " + path + ": " + why +
              "; check the disk and the file's owner, or move the file away (it is "
              "rebuilt; identity and model stay)"};
}

bool means_damage(int code) {
  const int kind = code & 0xff;
  return kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB || kind == SQLITE_ERROR ||
         kind == SQLITE_SCHEMA || kind == SQLITE_FORMAT;
}

Attempt try_open(const std::string& path) {
  Attempt attempt;
  // Created by us, so that its mode (and its journal's, which follows it) is 0600 whatever the
  // umask.
  File(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)).close();
  sqlite3* raw = nullptr;
  const int opened =
      sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  attempt.database.reset(raw);
  if (opened != SQLITE_OK) {
    attempt.failure = unusable(path, raw == nullptr ? "out of memory" : sqlite3_errmsg(raw));
    return attempt;
  }
  sqlite3_busy_timeout(raw, busy_timeout_ms);
  const int journal = run(raw, "PRAGMA journal_mode = WAL");
  if (journal != SQLITE_OK && !means_damage(journal)) {
    attempt.failure = unusable(path, sqlite3_errmsg(raw));
    return attempt;
  }
  const auto version = read_integer(raw, "PRAGMA user_version");
  if (journal != SQLITE_OK || !version || !is_sound(raw)) {
    attempt.is_damaged = true;
    return attempt;
  }
  if (*version > schema_version) {
    attempt.failure = StateDb::Failure{
        StateDb::OpenError::newer_schema,
        path + ": written by a newer starling (schema " + std::to_string(*version) +
            ", this one knows " + std::to_string(schema_version) +
            "); run the newer starling, or move this file away to go back: it is " +
            "rebuilt, identity and model stay"};
    return attempt;
  }
  const auto tables = read_integer(raw, "SELECT count(*) FROM sqlite_master");
  if (*version == 0 && tables == 0) {
    if (run(raw, create_schema) != SQLITE_OK) attempt.failure = unusable(path, sqlite3_errmsg(raw));
  } else if (*version != schema_version) {
    attempt.is_damaged = true;  // a database of something else
  }
  if (attempt.failure || attempt.is_damaged) return attempt;
  const int added = run(raw, add_tables);
  attempt.is_damaged = means_damage(added);
  if (added != SQLITE_OK && !attempt.is_damaged)
    attempt.failure = unusable(path, sqlite3_errmsg(raw));
  return attempt;
}

}  // namespace

struct StateDb::Parts {
  std::string path;
  mutable std::mutex mutex;  // guards everything below
  Database database;         // declared before the statements: it must be closed after them
  Statement read_epoch, write_epoch, clear_members, add_member, read_members, write_value,
      read_value, clear_admissions, add_admission, read_admissions;
  std::optional<std::string> fault;

  bool prepare_all() {
    sqlite3* raw = database.get();
    read_epoch = prepare(raw, "SELECT epoch FROM epoch WHERE one = 1");
    write_epoch = prepare(raw, "INSERT OR REPLACE INTO epoch(one, epoch) VALUES(1, ?1)");
    clear_members = prepare(raw, "DELETE FROM member");
    add_member = prepare(raw, "INSERT OR REPLACE INTO member(id, record) VALUES(?1, ?2)");
    read_members = prepare(raw, "SELECT record FROM member ORDER BY id");
    write_value = prepare(raw, "INSERT OR REPLACE INTO value(key, text) VALUES(?1, ?2)");
    read_value = prepare(raw, "SELECT text FROM value WHERE key = ?1");
    clear_admissions = prepare(raw, "DELETE FROM admission");
    add_admission = prepare(raw, "INSERT OR REPLACE INTO admission(item) VALUES(?1)");
    read_admissions = prepare(raw, "SELECT item FROM admission");
    return read_epoch && write_epoch && clear_members && add_member && read_members &&
           write_value && read_value && clear_admissions && add_admission && read_admissions;
  }
  void release() {
    read_epoch.reset(), write_epoch.reset(), clear_members.reset(), add_member.reset();
    read_members.reset(), write_value.reset(), read_value.reset(), clear_admissions.reset();
    add_admission.reset(), read_admissions.reset(), database.reset();
  }
  // All or nothing, or the fault is kept: the table emptied by `clear`, then add(0) to
  // add(count-1), each of which says whether it succeeded.
  void replace(const Statement& clear, size_t count, const std::function<bool(size_t)>& add) {
    bool is_done = run(database.get(), "BEGIN IMMEDIATE") == SQLITE_OK;
    if (is_done) is_done = Query(clear).step() == SQLITE_DONE;
    for (size_t i = 0; i < count && is_done; ++i) is_done = add(i);
    if (is_done) is_done = run(database.get(), "COMMIT") == SQLITE_OK;
    if (is_done) return;
    fault = error();
    run(database.get(), "ROLLBACK");
  }
  std::string error() const {
    return "cannot write " + path + ": " + sqlite3_errmsg(database.get());
  }
};

StateDb::StateDb(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
StateDb::~StateDb() { parts_->release(); }

Result<std::unique_ptr<StateDb>, StateDb::Failure> StateDb::open(
    const std::string& path, std::vector<std::string>& reports) {
  auto parts = std::make_unique<Parts>();
  parts->path = path;
  for (int round = 0; round < 2; ++round) {
    Attempt attempt = try_open(path);
    if (attempt.failure) return Unexpected{*attempt.failure};
    parts->database = std::move(attempt.database);
    if (!attempt.is_damaged && parts->prepare_all()) {
      run(parts->database.get(), "PRAGMA synchronous = NORMAL");
      return std::unique_ptr<StateDb>(new StateDb(std::move(parts)));
    }
    parts->release();
    auto aside = set_aside(path);
    if (!aside) return Unexpected{unusable(path, aside.error())};
    reports.push_back(path + ": damaged; set aside as " + *aside +
                      " and begun anew (members are learned again)");
  }
  return Unexpected{unusable(path, "a new file is damaged at once")};
}

Result<uint64_t, std::string> StateDb::next_epoch(uint64_t at_least) {
  std::lock_guard lock(parts_->mutex);
  uint64_t last = at_least;
  {
    Query query(parts_->read_epoch);
    const int code = query.step();
    if (code != SQLITE_ROW && code != SQLITE_DONE) return Unexpected{parts_->error()};
    if (code == SQLITE_ROW)
      last = std::max(last, static_cast<uint64_t>(std::max<int64_t>(0, query.integer(0))));
  }
  if (last >= epoch_max) {
    return Unexpected{
        parts_->path + ": the boot epoch " + std::to_string(last) +
        " is beyond all use; it cannot be "
        "this node's: restore state.db and the log from a backup, or join with a new directory"};
  }
  // FULL syncs the journal at commit; the checkpoint moves it into the main file, so that the epoch
  // survives even the loss of the journal.
  if (run(parts_->database.get(), "PRAGMA synchronous = FULL") != SQLITE_OK)
    return Unexpected{parts_->error()};
  int code = SQLITE_OK;
  {
    Query query(parts_->write_epoch);
    code = query.bind(1, static_cast<int64_t>(last + 1)).step();
  }
  Result<uint64_t, std::string> epoch = last + 1;
  if (code != SQLITE_DONE) epoch = Unexpected{parts_->error()};
  run(parts_->database.get(), "PRAGMA wal_checkpoint(TRUNCATE)");
  run(parts_->database.get(), "PRAGMA synchronous = NORMAL");
  return epoch;
}

void StateDb::save_members(const std::vector<swarm::MemberRecord>& records) {
  assert(records.size() <= members_saved_max);
  std::lock_guard lock(parts_->mutex);
  parts_->replace(parts_->clear_members, records.size(), [&](size_t i) {
    const swarm::PeerId id = swarm::peer_id_of(records[i].membership.identity);
    const swarm::Bytes record = swarm::encode_message(swarm::Members{{records[i]}});
    Query query(parts_->add_member);
    return query.bind(1, swarm::ByteView(id.bytes)).bind(2, record).step() == SQLITE_DONE;
  });
}

std::vector<swarm::MemberRecord> StateDb::members() const {
  std::lock_guard lock(parts_->mutex);
  std::vector<swarm::MemberRecord> records;
  Query query(parts_->read_members);
  while (records.size() < members_saved_max && query.step() == SQLITE_ROW) {
    auto message = swarm::decode_message(query.bytes(0));
    if (!message) continue;  // of another version; the swarm tells it again
    auto* members = std::get_if<swarm::Members>(&*message);
    if (members != nullptr && members->records.size() == 1)
      records.push_back(std::move(members->records[0]));
  }
  return records;
}

void StateDb::save_admissions(const std::vector<swarm::Bytes>& items) {
  assert(items.size() <= admissions_saved_max);
  std::lock_guard lock(parts_->mutex);
  parts_->replace(parts_->clear_admissions, items.size(), [&](size_t i) {
    Query query(parts_->add_admission);
    return query.bind(1, swarm::ByteView(items[i])).step() == SQLITE_DONE;
  });
}

std::vector<swarm::Bytes> StateDb::admissions() const {
  std::lock_guard lock(parts_->mutex);
  std::vector<swarm::Bytes> items;
  Query query(parts_->read_admissions);
  while (items.size() < admissions_saved_max && query.step() == SQLITE_ROW)
    items.push_back(query.bytes(0));
  return items;
}

void StateDb::set(const std::string& key, const std::string& value) {
  assert(key.size() <= state_key_size_max && value.size() <= state_value_size_max);
  std::lock_guard lock(parts_->mutex);
  Query query(parts_->write_value);
  const swarm::ByteView text(reinterpret_cast<const uint8_t*>(value.data()), value.size());
  if (query.bind(1, key).bind(2, text).step() != SQLITE_DONE) parts_->fault = parts_->error();
}

std::optional<std::string> StateDb::get(const std::string& key) const {
  std::lock_guard lock(parts_->mutex);
  Query query(parts_->read_value);
  if (query.bind(1, key).step() != SQLITE_ROW) return std::nullopt;
  const swarm::Bytes text = query.bytes(0);
  return std::string(text.begin(), text.end());
}

std::optional<std::string> StateDb::take_fault() {
  std::lock_guard lock(parts_->mutex);
  return std::exchange(parts_->fault, std::nullopt);
}

}  // namespace starling::node
