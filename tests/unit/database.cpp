#include "tracking/database.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <vector>

#include "pipeline/error.hpp"
#include "tests/unit/child.hpp"
#include "tests/unit/temp_dir.hpp"
#include "tracking/migrations.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe {
namespace {

using testing::TempDir;
namespace fs = std::filesystem;

std::int64_t number(Database& db, const char* sql) {
  Statement statement(db, sql);
  statement.step();
  return statement.integer(0);
}

/// What opening `file` says.
std::string complaint(const fs::path& file) {
  try {
    SqliteRecorder recorder(file);
  } catch (const Error& error) {
    BOOST_TEST(error.exit_code() == 3);
    return error.what();
  }
  return "";
}

void write(const fs::path& file, std::string_view text) {
  std::ofstream(file) << text;
}

/// Starts `n` processes at once; how many of them failed.
int failures_of(int n, const std::function<void(int)>& body) {
  int gate[2];
  BOOST_REQUIRE(::pipe(gate) == 0);
  std::vector<pid_t> children;
  for (int i = 0; i < n; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(gate[1]);
      char byte;
      [[maybe_unused]] const ssize_t got = ::read(gate[0], &byte, 1);  // Until all are there.
      try {
        body(i);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        ::_exit(1);
      }
      ::_exit(0);
    }
    children.push_back(child);
  }
  ::close(gate[0]);
  ::close(gate[1]);
  int failed = 0;
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    failed += status != 0;
  }
  return failed;
}

BOOST_AUTO_TEST_SUITE(database)

BOOST_AUTO_TEST_CASE(many_processes_open_a_new_file_at_once) {
  for (int round = 0; round < 20; ++round) {
    TempDir dir;
    const fs::path file = dir / "cifarpipe.db";
    BOOST_TEST(failures_of(8, [&](int i) {
                 SqliteRecorder recorder(file);
                 Database& db = recorder.database();
                 Statement(db, "INSERT INTO metric (name) VALUES (?)").with(i).run();
               }) == 0);
    Database db(file);
    BOOST_TEST(number(db, "SELECT count(*) FROM metric") == 8);
  }
}

BOOST_AUTO_TEST_CASE(writers_wait_for_each_other) {
  TempDir dir;
  const fs::path file = dir / "cifarpipe.db";
  { SqliteRecorder recorder(file); }
  BOOST_TEST(failures_of(4, [&](int i) {
               for (int n = 0; n < 60; ++n) {
                 SqliteRecorder recorder(file);  // The last one to close checkpoints the file.
                 Database& db = recorder.database();
                 Transaction transaction(db);
                 const std::int64_t next = number(db, "SELECT count(*) + 1 FROM metric");
                 Statement(db, "INSERT INTO metric VALUES (?, ?)").with(next, 1000 * i + n).run();
                 transaction.commit();
               }
             }) == 0);
  Database db(file);
  BOOST_TEST(number(db, "SELECT count(*) FROM metric") == 240);
}

BOOST_AUTO_TEST_CASE(a_busy_database_is_waited_for) {
  TempDir dir;
  const fs::path file = dir / "cifarpipe.db";
  { SqliteRecorder recorder(file); }
  int ready[2];
  BOOST_REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    Database db(file);
    Transaction transaction(db);
    [[maybe_unused]] const ssize_t n = ::write(ready[1], "x", 1);
    ::usleep(300'000);
    transaction.commit();
    ::_exit(0);
  }
  char byte;
  BOOST_REQUIRE(::read(ready[0], &byte, 1) == 1);
  SqliteRecorder recorder(file);
  recorder.forget_ring("none");
  int status = -1;
  ::waitpid(child, &status, 0);
  BOOST_TEST(status == 0);
}

BOOST_AUTO_TEST_CASE(killed_in_mid_transaction) {
  TempDir dir;
  const fs::path file = dir / "cifarpipe.db";
  { SqliteRecorder recorder(file); }
  const int status = testing::in_child([&] {
    Database db(file);
    Statement insert(db, "INSERT INTO metric (name) VALUES (?)");
    insert.with("kept").run();
    db.execute("PRAGMA cache_size = 2");  // So that pages go to the file before the commit.
    Transaction transaction(db);
    for (int i = 0; i < 20'000; ++i) insert.with(i).run();
    ::kill(::getpid(), SIGKILL);
  });
  BOOST_TEST(WTERMSIG(status) == SIGKILL);
  SqliteRecorder recorder(file);
  BOOST_TEST(number(recorder.database(), "SELECT count(*) FROM metric") == 1);
}

BOOST_AUTO_TEST_CASE(transactions_within_transactions) {
  TempDir dir;
  SqliteRecorder recorder(dir / "cifarpipe.db");
  Database& db = recorder.database();
  const auto insert = [&](const char* name) {
    Statement(db, "INSERT INTO metric (name) VALUES (?)").with(name).run();
  };
  {
    Transaction outer(db);
    insert("a");
    {
      Transaction inner(db);
      insert("b");
      inner.commit();
    }
  }
  BOOST_TEST(number(db, "SELECT count(*) FROM metric") == 0);
  {
    Transaction outer(db);
    {
      Transaction inner(db);
      insert("b");
    }
    BOOST_CHECK_THROW(outer.commit(), Error);  // A part of it is gone.
  }
  {
    Transaction after(db);
    insert("c");
    after.commit();
  }
  BOOST_TEST(number(db, "SELECT count(*) FROM metric") == 1);
}

BOOST_AUTO_TEST_CASE(a_full_disk) {
  TempDir dir;
  SqliteRecorder recorder(dir / "cifarpipe.db");
  Database& db = recorder.database();
  db.execute("PRAGMA max_page_count = 60");
  Statement insert(db, "INSERT INTO metric (name) VALUES (?)");
  const std::string text(1000, 'x');
  const auto fill = [&] {
    for (int i = 0; i < 1000; ++i) insert.with(text + std::to_string(i)).run();
  };
  BOOST_CHECK_EXCEPTION(fill(), Error, [](const Error& error) {
    return error.exit_code() == 3 &&
           std::string(error.what()).find("is full; make room and run the same command again") !=
               std::string::npos;
  });
  db.execute("PRAGMA max_page_count = 1000000");
  insert.with("there is room again").run();
}

BOOST_AUTO_TEST_CASE(files_that_are_no_database) {
  TempDir dir;
  const fs::path file = dir / "cifarpipe.db";
  write(file, std::string(5000, 'x'));
  BOOST_TEST(complaint(file) ==
             file.string() +
                 " is not a whole database (file is not a database); move it away: "
                 "results are indexed again from the store");
  fs::remove(file);
  fs::create_directory(file);
  BOOST_TEST(complaint(file).starts_with("cannot write the database " + file.string()));
  BOOST_TEST(complaint(dir / "missing/cifarpipe.db").ends_with("No such file or directory"));
}

BOOST_AUTO_TEST_CASE(a_damaged_database) {
  TempDir dir;
  const fs::path file = dir / "cifarpipe.db";
  {
    SqliteRecorder recorder(file);
    for (int i = 0; i < 500; ++i)
      recorder.remember_digest({"file" + std::to_string(i), 1, 1, 1}, "d");
  }
  const auto size = fs::file_size(file);
  {
    std::fstream damage(file, std::ios::in | std::ios::out | std::ios::binary);
    damage.seekp(4096);
    damage << std::string(size - 4096, '\xa5');
  }
  try {
    SqliteRecorder recorder(file);
    recorder.resolve_run("latest");
    BOOST_ERROR("nothing was noticed");
  } catch (const Error& error) {
    BOOST_TEST(std::string(error.what()).find("is not a whole database") != std::string::npos);
    BOOST_TEST(error.exit_code() == 3);
  }
}

BOOST_AUTO_TEST_CASE(databases_of_others) {
  TempDir dir;
  const fs::path newer = dir / "newer.db";
  {
    SqliteRecorder recorder(newer);
    recorder.database().execute("PRAGMA user_version = 999");
  }
  BOOST_TEST(complaint(newer).find("was written by a newer cifarpipe (database version 999") !=
             std::string::npos);
  const fs::path foreign = dir / "foreign.db";
  Database(foreign).execute("CREATE TABLE friends (name TEXT)");
  BOOST_TEST(complaint(foreign) ==
             foreign.string() + " is a database, but not one of cifarpipe; move it away");
}

BOOST_AUTO_TEST_CASE(an_older_database_is_brought_up_to_date) {
  TempDir dir;
  const fs::path file = dir / "cifarpipe.db";
  {
    Database db(file);
    make_old_database(db, 1);
    Statement(db, "INSERT INTO metric (name) VALUES ('kept')").run();
    db.execute(
        "INSERT INTO run VALUES (1, 'aa', 'a', '', '', NULL, '', '', '', '', '', 'FINISHED', 1, "
        "1000, 3000, '', NULL)");
    BOOST_TEST(number(db, "PRAGMA user_version") == 1);
    BOOST_TEST(number(db, "SELECT count(*) FROM sqlite_master WHERE name = 'mirror_run'") == 0);
  }
  SqliteRecorder recorder(file);
  SqliteRecorder fresh(dir / "fresh.db");
  constexpr const char* kNames =
      "SELECT group_concat(sql) FROM (SELECT sql FROM sqlite_master "
      "WHERE sql IS NOT NULL ORDER BY name)";
  Statement upgraded(recorder.database(), kNames);
  Statement made(fresh.database(), kNames);
  BOOST_REQUIRE(upgraded.step() && made.step());
  BOOST_TEST(upgraded.text(0) == made.text(0));
  BOOST_TEST(number(recorder.database(), "SELECT count(*) FROM mirror_run") == 0);
  BOOST_TEST(number(recorder.database(), "SELECT count(*) FROM metric WHERE name = 'kept'") == 1);
  BOOST_TEST(number(recorder.database(), "SELECT seconds FROM runs") == 2);
}

BOOST_AUTO_TEST_CASE(reading_makes_and_changes_nothing) {
  TempDir dir;
  const fs::path file = dir / "a?b#c%20.db";  // What a URI would take apart.
  BOOST_CHECK_THROW(SqliteRecorder(file, Database::Access::read), Error);
  BOOST_TEST(!fs::exists(file));
  { SqliteRecorder recorder(file); }
  {
    SqliteRecorder reader(file, Database::Access::read);
    BOOST_TEST(number(reader.database(), "SELECT count(*) FROM runs") == 0);
    BOOST_CHECK_THROW(reader.database().execute("DELETE FROM run"), Error);
    BOOST_TEST(std::distance(fs::directory_iterator(dir.path()), {}) == 1);
  }
  SqliteRecorder writer(file);
  writer.database().execute("INSERT INTO metric (name) VALUES ('newest')");
  SqliteRecorder beside(file, Database::Access::read);
  BOOST_TEST(number(beside.database(), "SELECT count(*) FROM metric") == 1);
  // A copy with a log but without its index, which a reader cannot make.
  fs::copy_file(file, dir / "copy.db");
  fs::copy_file(file.string() + "-wal", dir / "copy.db-wal");
  BOOST_CHECK_EXCEPTION(
      SqliteRecorder(dir / "copy.db", Database::Access::read), Error, [](const Error& error) {
        return std::string(error.what()).find("copy.db-wal has changes that") != std::string::npos;
      });
}

BOOST_AUTO_TEST_CASE(an_older_database_cannot_be_read_alone) {
  TempDir dir;
  {
    Database db(dir / "old.db");
    make_old_database(db, 2);
  }
  try {
    SqliteRecorder reader(dir / "old.db", Database::Access::read);
    BOOST_ERROR("it was read");
  } catch (const Error& error) {
    BOOST_TEST((error.kind() == ErrorKind::environment));
    BOOST_TEST(std::string(error.what()).find("older cifarpipe (database version 2") !=
               std::string::npos);
  }
}

BOOST_AUTO_TEST_CASE(an_empty_file_becomes_a_database) {
  TempDir dir;
  write(dir / "cifarpipe.db", "");
  BOOST_TEST(complaint(dir / "cifarpipe.db") == "");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
