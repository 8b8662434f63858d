// Click logs as text: comma- or tab-separated, with or without a header, LF or CRLF.
#pragma once

#include <cstddef>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace talus::features {

// Where the columns of a log stand. Indices count from 0; -1 = there is none.
struct Columns {
    char separator = ',';
    bool has_header = false;
    int label = -1;
    std::vector<int> dense;  // per name asked for
    std::vector<int> sparse; // likewise
    std::size_t count = 0;   // fields per row
};

// Reads a log row by row. With a header (its first field is a name), columns are found by name in
// any case; other columns are ignored. Without one the file must have Criteo's original layout:
// label, the dense and then the sparse columns, in order (or no label, if exactly one field fewer).
//
// A reader belongs to one thread. Throws Failure: NOT_FOUND, or DATA naming file, line and column.
class LogReader {
  public:
    LogReader(const std::string& path, const std::vector<std::string>& dense,
              const std::vector<std::string>& sparse);

    const Columns& columns() const { return columns_; }
    bool has_label() const { return columns_.label >= 0; }

    // False at the end. The fields are views into the reader's line, valid until the next call.
    // Blank lines are skipped.
    bool next(std::vector<std::string_view>& fields);

    std::size_t line() const { return line_; }        // of the latest row, from 1
    const std::string& path() const { return path_; } // for messages
    // Bytes read and bytes there are, for progress. The latter is 0 for pipes.
    std::size_t bytes_read() const { return bytes_read_; }
    std::size_t bytes_total() const { return bytes_total_; }

  private:
    bool read_line();
    void split(std::vector<std::string_view>& fields) const;

    std::string path_;
    std::ifstream file_;
    std::string text_;
    bool pending_ = false; // text_ holds a row that was not handed out
    std::size_t line_ = 0;
    std::size_t bytes_read_ = 0;
    std::size_t bytes_total_ = 0;
    Columns columns_;
};

} // namespace talus::features
