// Writes product reviews of realistic length: log-normal, 14 words in the median, at most some 320. All are our own.

// Texts end with the sentence that reaches the wanted length, which makes them longer: 14 words in the median.
const MEDIAN_WORDS = 9;
const SIGMA = 1;
const MOST_WORDS = 300;

const THINGS = [
  'kettle',
  'desk lamp',
  'rucksack',
  'office chair',
  'bread knife',
  'tent',
  'wool blanket',
  'phone case',
  'coffee grinder',
  'raincoat',
  'bicycle pump',
  'headset',
  'frying pan',
  'alarm clock',
  'garden hose',
  'sewing machine',
  'suitcase',
  'board game',
  'keyboard',
  'thermos flask',
  'picture frame',
  'vacuum cleaner',
  'yoga mat',
  'toolbox',
  'water filter',
  'night light',
  'travel pillow',
  'cookbook',
  'mattress',
  'film camera',
  'pair of boots',
  'set of screwdrivers',
];

const VERDICTS = [
  'is the best one I have owned',
  'does exactly what it promises',
  'was a waste of money',
  'broke after two weeks',
  'is better than it looks in the pictures',
  'feels cheap and wobbles',
  'made my mornings easier',
  'is not worth half of what it costs',
  'surprised all of us in a good way',
  'arrived scratched and smelling of glue',
  'is quiet, light and well made',
  'stopped working on the third day',
  'is fine, nothing more',
  'looks lovely but does little',
  'has become my favourite',
  'disappointed me from the first hour',
  'works as well as models at twice the price',
  'is impossible to clean',
  'holds up after a year of daily use',
  'does not fit where they say it fits',
  'turned out to be a good choice',
  'gets too hot to touch',
  'is a joy to use',
  'should never have left the factory',
];

const DETAILS = [
  'The instructions were clear and short.',
  'The instructions seem to describe another product.',
  'It took me ten minutes to put together.',
  'Two screws were missing.',
  'Delivery was a day early.',
  'Delivery took three weeks and nobody answered my letters.',
  'The colour is warmer than in the pictures.',
  'My neighbour has ordered one since.',
  'The handle came off in my hand.',
  'Customer service replaced it without any fuss.',
  'Customer service kept me waiting and then hung up.',
  'I would have liked a longer cable.',
  'It fits into a small kitchen.',
  'The children use it every day and it shows no wear.',
  'The lid never closes properly.',
  'You can hardly hear it.',
  'It hums all night long.',
  'The seams are neat and strong.',
  'After the first rain there was rust on it.',
  'For this price I expected less.',
  'For this price I expected more.',
  'The box was damaged but everything inside was whole.',
  'We took it on a long trip through the mountains and never regretted the weight.',
  'I compared five of them before I chose, read every test that I could find, and still got it wrong.',
  'At first I was not sure, but with each week I like it better.',
  'At first I was delighted, but with each week something else gave way.',
  'If you have little space and little patience, this one asks for neither.',
  'Whoever designed the switch has never tried to find it in the dark.',
];

const OPENINGS = [
  'The',
  'This',
  'Our new',
  'My',
  'Honestly, the',
  'All in all, the',
  'In short, this',
  'To my surprise, the',
];

const CLOSINGS = [
  'Recommended.',
  'Never again.',
  'I would buy it again.',
  'I sent it back.',
  'Five stars.',
  'One star, and that is generous.',
  'Good value.',
  'Look elsewhere.',
  'Thank you!',
  'Such a pity.',
];

function pick(list, random) {
  return list[Math.floor(random() * list.length)];
}

function words(text) {
  return text.split(' ').length;
}

// Box and Muller's method makes a normally distributed number out of two even ones.
function length(random) {
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return Math.min(MOST_WORDS, MEDIAN_WORDS * Math.exp(SIGMA * normal));
}

export function compose(random) {
  const wanted = length(random);
  let text = `${pick(OPENINGS, random)} ${pick(THINGS, random)} ${pick(VERDICTS, random)}.`;
  if (wanted < words(text)) {
    return random() < 0.5 ? text : pick(CLOSINGS, random).replace(/[.!]$/, `: ${pick(THINGS, random)}.`);
  }
  while (words(text) < wanted) {
    text += ` ${pick(DETAILS, random)}`;
  }
  return random() < 0.4 ? `${text} ${pick(CLOSINGS, random)}` : text;
}
