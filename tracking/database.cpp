#include "tracking/database.hpp"

#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "pipeline/error.hpp"

namespace cifarpipe {
namespace {

[[noreturn]] void fail(const Database& db, int code) {
  const std::filesystem::path& file = db.file();
  sqlite3* const handle = db.handle();
  const int primary = code & 0xff;
  int system = handle != nullptr ? sqlite3_system_errno(handle) : 0;
  const auto because = [](std::string sentence) {
    return Error(std::move(sentence), ErrorKind::environment);
  };
  const std::string name = file.string();
  if (primary == SQLITE_FULL ||
      (primary == SQLITE_IOERR && (system == ENOSPC || system == EDQUOT))) {
    throw because(
        fmt::format("the disk of {} is full; make room and run the same command again", name));
  }
  if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) {
    throw because(
        fmt::format("{} is not a whole database ({}); move it away: results are indexed again "
                    "from the store",
                    name, sqlite3_errstr(code)));
  }
  if (primary == SQLITE_BUSY || primary == SQLITE_LOCKED || primary == SQLITE_PROTOCOL) {
    throw because(fmt::format("{} has been held by another process for ten minutes", name));
  }
  if (primary == SQLITE_CANTOPEN || primary == SQLITE_READONLY || primary == SQLITE_PERM) {
    // "No such file" can be the one that SQLite could not make beside it.
    if (system == ENOENT && ::access(file.parent_path().c_str(), W_OK) != 0) system = errno;
    const bool reads = db.access() == Database::Access::read;
    throw because(fmt::format("cannot {} the database {}: {}", reads ? "read" : "write", name,
                              system != 0 ? std::strerror(system) : sqlite3_errstr(primary)));
  }
  throw because(fmt::format("database {}: {}", name,
                            handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(code)));
}

constexpr int kTries = 60'000;  // Ten minutes: far beyond any transaction of a live process.

/// A busy database is another cifarpipe in a short transaction: wait.
int wait_for_writer(void*, int tries) {
  sqlite3_sleep(tries < 20 ? 1 : 10);
  return tries < kTries ? 1 : 0;
}

/// Whether to try again. SQLite does not always ask the busy handler: not while another process
/// changes the journal mode, recovers, or closes the file as the last one.
bool is_busy(int code, int& tries) {
  // A statement of this connection reads what another one has written past since: no waiting helps.
  if (code == SQLITE_BUSY_SNAPSHOT) return false;
  const int primary = code & 0xff;
  if (primary != SQLITE_BUSY && primary != SQLITE_PROTOCOL) return false;
  return wait_for_writer(nullptr, tries++) != 0;
}

/// A path as SQLite's "file:" names have it.
std::string uri_of(const std::filesystem::path& file) {
  std::string out = "file:";
  for (const char c : std::filesystem::absolute(file).string()) {
    if (c == '%' || c == '?' || c == '#') {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

Database::Database(const std::filesystem::path& file, Access access)
    : file_(file), access_(access) {
  try {
    access == Access::read ? open_to_read() : open_to_write();
  } catch (...) {
    sqlite3_close(db_);
    throw;
  }
}

void Database::open(const std::string& name, int flags) {
  const int code = sqlite3_open_v2(name.c_str(), &db_,
                                   flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  if (code != SQLITE_OK) fail(*this, code);
  sqlite3_busy_handler(db_, wait_for_writer, nullptr);
}

void Database::open_to_write() {
  open(file_.string(), SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  execute("PRAGMA journal_mode = WAL");
  execute(
      "PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; PRAGMA temp_store = MEMORY;"
      "PRAGMA cache_size = -16000");
}

void Database::open_to_read() {
  // In WAL mode readers, too, write beside the file. Who cannot is served by the files that a
  // writer, or one that was killed, has there; without them nobody is at work on it, and the file
  // is all there is.
  std::error_code error;
  const bool alone = !std::filesystem::exists(file_.string() + "-wal", error);
  if (!alone && !std::filesystem::exists(file_.string() + "-shm", error)) {
    throw Error(fmt::format("{0}-wal has changes that only somebody who may write there can take "
                            "into {0}: `cifarpipe runs list` does it",
                            file_.string()),
                ErrorKind::environment);
  }
  open(uri_of(file_) + (alone ? "?immutable=1" : ""), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
  execute("PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16000");
}

Database::~Database() {
  sqlite3_close(db_);
}

void Database::execute(const char* sql) {
  int tries = 0;
  int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  while (is_busy(code, tries)) code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(*this, code);
}

std::int64_t Database::changes() const {
  return sqlite3_changes64(db_);
}
std::int64_t Database::last_id() const {
  return sqlite3_last_insert_rowid(db_);
}

Statement::Statement(const Database& db, std::string_view sql) : db_(&db) {
  int tries = 0;
  int code = SQLITE_OK;
  do {
    code = sqlite3_prepare_v3(db.handle(), sql.data(), static_cast<int>(sql.size()),
                              SQLITE_PREPARE_PERSISTENT, &statement_, nullptr);
  } while (is_busy(code, tries));
  if (code != SQLITE_OK) fail(db, code);
}

Statement::~Statement() {
  sqlite3_finalize(statement_);
}

Statement::Statement(Statement&& other) noexcept
    : db_(other.db_), statement_(std::exchange(other.statement_, nullptr)) {}

bool Statement::step() {
  const bool first = sqlite3_stmt_busy(statement_) == 0;
  int tries = 0;
  int code = sqlite3_step(statement_);
  while (first && is_busy(code, tries)) {
    sqlite3_reset(statement_);
    code = sqlite3_step(statement_);
  }
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  sqlite3_reset(statement_);
  fail(*db_, code);
}

void Statement::run() {
  while (step()) {
  }
  reset();
}

void Statement::reset() {
  sqlite3_reset(statement_);
}

Statement& Statement::with_all(const std::vector<SqlValue>& values) {
  reset();
  int i = 0;
  for (const SqlValue& value : values) {
    ++i;
    std::visit([&](const auto& v) { bind(i, v); }, value);
  }
  return *this;
}

void Statement::bind(int i, std::nullptr_t) {
  sqlite3_bind_null(statement_, i);
}
void Statement::bind(int i, double v) {
  sqlite3_bind_double(statement_, i, v);
}
void Statement::bind(int i, std::string_view v) {
  sqlite3_bind_text(statement_, i, v.data(), static_cast<int>(v.size()), SQLITE_TRANSIENT);
}
void Statement::bind_integer(int i, std::int64_t v) {
  sqlite3_bind_int64(statement_, i, v);
}

bool Statement::is_null(int c) const {
  return sqlite3_column_type(statement_, c) == SQLITE_NULL;
}
bool Statement::is_real(int c) const {
  return sqlite3_column_type(statement_, c) == SQLITE_FLOAT;
}
bool Statement::is_integer(int c) const {
  return sqlite3_column_type(statement_, c) == SQLITE_INTEGER;
}
std::int64_t Statement::integer(int c) const {
  return sqlite3_column_int64(statement_, c);
}
double Statement::real(int c) const {
  return sqlite3_column_double(statement_, c);
}
std::string Statement::text(int c) const {
  const auto* text = sqlite3_column_text(statement_, c);
  if (text == nullptr) return {};
  return {reinterpret_cast<const char*>(text),
          static_cast<std::size_t>(sqlite3_column_bytes(statement_, c))};
}
std::optional<std::string> Statement::optional_text(int c) const {
  if (is_null(c)) return std::nullopt;
  return text(c);
}

Transaction::Transaction(Database& db) : db_(db) {
  if (db_.depth_ == 0) db_.execute("BEGIN IMMEDIATE");
  ++db_.depth_;
}

Transaction::~Transaction() {
  if (!open_) return;
  // Also from within an outer one: what began as a whole must not be committed in part.
  if (--db_.depth_ == 0 || sqlite3_get_autocommit(db_.handle()) == 0) {
    sqlite3_exec(db_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
}

void Transaction::commit() {
  if (db_.depth_ == 1) db_.execute("COMMIT");
  --db_.depth_;
  open_ = false;
}

}  // namespace cifarpipe
