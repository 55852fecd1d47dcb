#include "tracking/database.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cerrno>
#include <utility>

#include "pipeline/error.hpp"

namespace cifarpipe {
namespace {

[[noreturn]] void fail(const Database& db, sqlite3* handle, int code) {
  const std::string file = db.file().string();
  const int primary = code & 0xff;
  const int system = handle != nullptr ? sqlite3_system_errno(handle) : 0;
  if (primary == SQLITE_FULL || (primary == SQLITE_IOERR && system == ENOSPC)) {
    throw Error(
        fmt::format("the disk of {} is full; make room and run the same command again", file),
        ErrorKind::environment);
  }
  if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) {
    throw Error(fmt::format("{} is not a whole database ({}); move it away: results are indexed "
                            "again from the store",
                            file, sqlite3_errstr(code)),
                ErrorKind::environment);
  }
  throw Error(fmt::format("database {}: {}", file,
                          handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(code)),
              ErrorKind::environment);
}

/// A busy database is another cifarpipe in a short transaction: wait, for as long as it takes.
int wait_for_writer(void*, int tries) {
  sqlite3_sleep(tries < 20 ? 1 : 10);
  return tries < 60'000 ? 1 : 0;
}

}  // namespace

Database::Database(const std::filesystem::path& file) : file_(file) {
  const int code = sqlite3_open_v2(
      file.c_str(), &db_,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
      nullptr);
  if (code != SQLITE_OK) {
    const std::string why = db_ != nullptr ? sqlite3_errmsg(db_) : sqlite3_errstr(code);
    sqlite3_close(db_);
    throw Error(fmt::format("cannot open the database {}: {}", file.string(), why),
                ErrorKind::environment);
  }
  sqlite3_busy_handler(db_, wait_for_writer, nullptr);
  execute(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF;"
      "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16000");
}

Database::~Database() {
  sqlite3_close(db_);
}

void Database::execute(const char* sql) {
  const int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(*this, db_, code);
}

std::int64_t Database::changes() const {
  return sqlite3_changes64(db_);
}
std::int64_t Database::last_id() const {
  return sqlite3_last_insert_rowid(db_);
}

Statement::Statement(const Database& db, std::string_view sql) : db_(&db) {
  const int code = sqlite3_prepare_v3(db.handle(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement_, nullptr);
  if (code != SQLITE_OK) fail(db, db.handle(), code);
}

Statement::~Statement() {
  sqlite3_finalize(statement_);
}

Statement::Statement(Statement&& other) noexcept
    : db_(other.db_), statement_(std::exchange(other.statement_, nullptr)) {}

bool Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  sqlite3_reset(statement_);
  fail(*db_, db_->handle(), code);
}

void Statement::run() {
  while (step()) {
  }
  reset();
}

void Statement::reset() {
  sqlite3_reset(statement_);
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
bool Statement::is_text(int c) const {
  return sqlite3_column_type(statement_, c) == SQLITE_TEXT;
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
