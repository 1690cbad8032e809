// iam-simulate as a process: a line of JSON is a question, a line of JSON its answer.
//
// Question: {policy, action, resource, context}. Answer: {allowed}, or {refused} with its reasons where
// iam-simulate takes the question for one that AWS would never ask.
const { createInterface } = require('node:readline')
const { runSimulation } = require('@cloud-copilot/iam-simulate')

const ACCOUNT = '123456789012'

async function answer({ policy, action, resource, context }) {
  const said = await runSimulation(
    {
      identityPolicies: [{ name: 'role', policy }],
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      request: {
        principal: `arn:aws:iam::${ACCOUNT}:role/staging-warmkeeper`,
        action,
        resource: { resource, accountId: ACCOUNT },
        contextVariables: context,
      },
    },
    {},
  )
  if (said.resultType === 'error') return { refused: said.errors }
  const one = said.resultType === 'single' ? said.result : said.results[0]
  return { allowed: said.overallResult === 'Allowed', passed_over: one.ignoredContextKeys ?? [] }
}

async function main() {
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await answer(JSON.parse(line))))
  }
}

main()
