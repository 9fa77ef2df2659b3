-- For wrk: asks for the files of a list one after the other, and compares every body that comes with the file it is.
-- All files have different lengths, so a body's length says which one it must be.
local paths, contents = {}, {}
bad = 0
seen = 0

local threads = {}

function setup(thread)
    table.insert(threads, thread)
end

function init(args)
    for path in io.lines(args[2]) do
        local file = assert(io.open(args[1] .. path, "rb"))
        local content = file:read("*a")
        file:close()
        assert(contents[#content] == nil, "two files of the same length")
        contents[#content] = content
        table.insert(paths, path)
    end
end

local turn = 0

function request()
    turn = turn % #paths + 1
    return wrk.format("GET", paths[turn])
end

function response(status, headers, body)
    seen = seen + 1
    if status ~= 200 or contents[#body] ~= body then
        bad = bad + 1
    end
end

function done(summary, latency, requests)
    local seen, bad = 0, 0
    for _, thread in ipairs(threads) do
        seen = seen + thread:get("seen")
        bad = bad + thread:get("bad")
    end
    local errors = summary.errors
    io.write(string.format("checked %d bad %d errors %d\n", seen, bad,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
