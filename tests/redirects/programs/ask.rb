# One line "METHOD URL [BODY]" on stdin, one line with the status on stdout.
$stdout.sync = true

case ARGV[0]
when "open-uri"
  require "open-uri"
  ask = lambda do |method, url, _|
    raise "it only has GET" unless method == "GET"

    URI.parse(url).open.status[0]
  rescue OpenURI::HTTPError => error
    error.io.status[0]
  end
when "faraday"
  require "faraday"
  require "faraday_middleware"
  client = Faraday.new { |built| built.response :follow_redirects, standards_compliant: true }
  ask = ->(method, url, body) { client.run_request(method.downcase.to_sym, url, body, {}).status }
when "mechanize"
  require "mechanize"
  client = Mechanize.new
  ask = lambda do |method, url, body|
    case method
    when "GET" then client.get(url).code
    when "HEAD" then client.head(url).code
    else client.post(url, body).code
    end
  end
end

$stdin.each_line(chomp: true) do |line|
  method, url, body = line.split(" ")
  puts ask.call(method, url, body)
rescue StandardError => error
  puts "0 #{error.message.lines.first}"
end
