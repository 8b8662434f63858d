#include "sdk/features/csv.hpp"

#include <algorithm>
#include <cctype>
#include <map>

#include "sdk/common/error.hpp"

namespace talus::features {

namespace {

constexpr std::size_t kMaxLine = std::size_t{1} << 20;

std::string lower(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return result;
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '"'))
        text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '"'))
        text.remove_suffix(1);
    return text;
}

// A header's first field is a name; a row's is an id or a label, or empty.
bool looks_like_header(const std::vector<std::string_view>& fields) {
    const std::string_view first = trimmed(fields.front());
    return !first.empty() &&
           (std::isalpha(static_cast<unsigned char>(first.front())) != 0 || first.front() == '_');
}

} // namespace

LogReader::LogReader(const std::string& path, const std::vector<std::string>& dense,
                     const std::vector<std::string>& sparse)
    : path_(path), file_(path, std::ios::binary) {
    if (!file_)
        fail(TALUS_ERROR_NOT_FOUND, "cannot open the click log '{}'", path);
    file_.seekg(0, std::ios::end);
    const std::streamoff size = file_.tellg();
    bytes_total_ = size > 0 ? static_cast<std::size_t>(size) : 0;
    file_.clear();
    file_.seekg(0);
    file_.clear(); // a pipe cannot seek
    do {
        if (!read_line())
            fail(TALUS_ERROR_DATA, "'{}' is empty", path);
    } while (text_.empty());
    if (text_.starts_with("\xEF\xBB\xBF"))
        text_.erase(0, 3);

    columns_.separator = text_.find('\t') != std::string::npos ? '\t' : ',';
    std::vector<std::string_view> fields;
    split(fields);
    columns_.count = fields.size();
    columns_.has_header = looks_like_header(fields);
    if (!columns_.has_header) {
        pending_ = true;
        const std::size_t features = dense.size() + sparse.size();
        if (fields.size() != features + 1 && fields.size() != features)
            fail(TALUS_ERROR_DATA,
                 "'{}' has no header and {} fields; without a header a row is label, {} dense and "
                 "{} "
                 "sparse values ({} fields)",
                 path, fields.size(), dense.size(), sparse.size(), features + 1);
        int at = 0;
        if (fields.size() == features + 1)
            columns_.label = at++;
        for (std::size_t i = 0; i < dense.size(); ++i)
            columns_.dense.push_back(at++);
        for (std::size_t i = 0; i < sparse.size(); ++i)
            columns_.sparse.push_back(at++);
        return;
    }
    std::map<std::string, int> by_name;
    for (std::size_t i = 0; i < fields.size(); ++i)
        if (!by_name.emplace(lower(trimmed(fields[i])), static_cast<int>(i)).second)
            fail(TALUS_ERROR_DATA, "'{}': the header names column '{}' twice", path,
                 trimmed(fields[i]));
    std::vector<std::string> missing;
    const auto find = [&](const std::string& name) {
        const auto found = by_name.find(lower(name));
        if (found == by_name.end()) {
            missing.push_back(name);
            return -1;
        }
        return found->second;
    };
    for (const std::string& name : dense)
        columns_.dense.push_back(find(name));
    for (const std::string& name : sparse)
        columns_.sparse.push_back(find(name));
    if (!missing.empty())
        fail(TALUS_ERROR_DATA, "'{}' lacks {} that the encoder needs: {}", path,
             missing.size() == 1 ? "a column" : "columns", fmt::join(missing, ", "));
    if (const auto label = by_name.find("label"); label != by_name.end())
        columns_.label = label->second;
}

bool LogReader::read_line() {
    if (!std::getline(file_, text_))
        return false;
    ++line_;
    bytes_read_ += text_.size() + 1;
    if (text_.size() > kMaxLine)
        fail(TALUS_ERROR_DATA, "'{}' line {} has {} bytes (limit {})", path_, line_, text_.size(),
             kMaxLine);
    if (!text_.empty() && text_.back() == '\r')
        text_.pop_back();
    return true;
}

void LogReader::split(std::vector<std::string_view>& fields) const {
    fields.clear();
    const std::string_view text = text_;
    std::size_t begin = 0;
    while (true) {
        const std::size_t end = text.find(columns_.separator, begin);
        fields.push_back(text.substr(begin, end - begin));
        if (end == std::string_view::npos)
            return;
        begin = end + 1;
    }
}

bool LogReader::next(std::vector<std::string_view>& fields) {
    if (!pending_)
        do {
            if (!read_line())
                return false;
        } while (text_.empty());
    pending_ = false;
    split(fields);
    if (fields.size() != columns_.count)
        fail(TALUS_ERROR_DATA, "'{}' line {} has {} fields instead of {}", path_, line_,
             fields.size(), columns_.count);
    return true;
}

} // namespace talus::features
